"""An ensemble -> an HTTP service and its page."""
