"""Where bestiary keeps what it can make again: the user's cache folder."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """`BESTIARY_CACHE` if that is set, else the user's cache folder."""
    return Path(os.environ.get("BESTIARY_CACHE") or platformdirs.user_cache_dir("bestiary"))
