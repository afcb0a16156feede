"""What only a GPU shows, as stages that run alone too: see `run.py`."""
