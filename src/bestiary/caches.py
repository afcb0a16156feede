"""The user's cache folder: where it is, and how its least recently used files are evicted.

Everything in it can be computed again. Knows nothing of what the files contain.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import platformdirs

VARIABLE = "BESTIARY_CACHE"


def cache_root() -> Path:
    """Return the folder named by `BESTIARY_CACHE`, or else the user's cache folder."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("bestiary"))


def ensure_cache(notice: Callable[[str], object]) -> None:
    """Make the cache folder. Where that fails, use a temporary one until this process ends.

    Processes that this one starts use the temporary folder too.

    Args:
        notice: shows the user a line about it.
    """
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        temporary = tempfile.mkdtemp(prefix="bestiary-cache-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        os.environ[VARIABLE] = temporary
        notice(
            f"{root}: the cache folder cannot be made ({error.strerror}), so nothing is cached for "
            f"later commands; {VARIABLE} names another"
        )


def mark_used(file: Path) -> None:
    """Renew a file's modification time, so that it is evicted later.

    A cache may be shared and read-only, and another process may have evicted the file.
    """
    with suppress(OSError):
        os.utime(file)


def evict_least_recently_used(entries: Iterable[tuple[Path, ...]], max_bytes: int) -> None:
    """Remove the least recently used entries of a cache until the rest fits.

    Args:
        entries: files that belong together; the modification time of the first is when the
            entry was last used.
        max_bytes: bytes that may stay.
    """
    # Measure every entry; another process may be evicting at the same time.
    measured = []
    for files in entries:
        with suppress(FileNotFoundError):
            last_used = files[0].stat().st_mtime
            size = sum(file.stat().st_size for file in files)
            measured.append((last_used, size, files))
    # Remove, oldest first.
    total = sum(size for _, size, _ in measured)
    for _, size, files in sorted(measured, key=lambda entry: entry[0]):
        if total <= max_bytes:
            return
        for file in files:
            file.unlink(missing_ok=True)
        total -= size
