"""An ensemble -> one file that other programs run."""
