"""Where bestiary keeps what it can make again: the user's cache folder."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """`BESTIARY_CACHE` if that is set, else the user's cache folder."""
    return Path(os.environ.get("BESTIARY_CACHE") or platformdirs.user_cache_dir("bestiary"))


def make_room(kept: Iterable[tuple[Path, ...]], most: int) -> None:
    """Remove what was used longest ago, until the rest takes `most` bytes.

    Args:
        kept: files that belong together; the time of the first says when they were used.
        most: bytes that may stay.
    """
    found = []
    for files in kept:
        with suppress(FileNotFoundError):  # another process makes room too
            found.append(
                (files[0].stat().st_mtime, sum(file.stat().st_size for file in files), files)
            )
    used = sum(size for _, size, _ in found)
    for _, size, files in sorted(found, key=lambda entry: entry[0]):
        if used <= most:
            return
        for file in files:
            file.unlink(missing_ok=True)
        used -= size
