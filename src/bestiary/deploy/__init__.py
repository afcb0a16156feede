"""A trained ensemble -> what is handed over: one file, one fast engine, one service and its page."""
