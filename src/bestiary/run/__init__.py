"""A run directory: its names, tables and state."""
