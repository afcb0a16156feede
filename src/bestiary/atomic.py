"""Bytes -> a file that is whole or absent.

Every file of bestiary is written to a temporary name beside its goal, flushed to the disk and
renamed, so that a reader never sees half of one and a crash leaves the file that was there before.
Knows nothing of what the bytes mean.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bestiary.errors import BestiaryError

_WATCHERS: dict[Path, Callable[[Path], None]] = {}


@contextmanager
def atomic_path(goal: Path, former: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside `goal`; when the block ends well, flush it and rename it to
    `goal`.

    Args:
        goal: the file to write.
        former: what the file that was there is renamed to; a crash between the two renamings leaves
            that one alone.

    Raises:
        BestiaryError: the folder cannot be written (read-only, no space left); `goal` stays as it
            was.
    """
    # A name that starts with a dot and ends in .tmp is ignored by every reader of images, runs and
    # stores.
    temporary = None
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{goal.name[:60]}.", suffix=".tmp", dir=goal.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _give_default_mode(temporary)
        _flush(temporary)
        if former is not None and goal.exists():
            os.replace(goal, former)
        os.replace(temporary, goal)
        _flush(goal.parent)
        for folder, tell in list(_WATCHERS.items()):
            if goal.is_relative_to(folder):
                tell(goal)
    except OSError as error:
        if error.errno is None:
            raise
        reason = error.strerror or type(error).__name__
        raise BestiaryError(
            f"{goal}: cannot be written ({reason}); free space or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def watched(folder: Path, tell: Callable[[Path], None]) -> Iterator[None]:
    """A block in which `tell` is given each file in and below `folder` as soon as it is whole."""
    _WATCHERS[folder] = tell
    try:
        yield
    finally:
        del _WATCHERS[folder]


def write_bytes(goal: Path, content: bytes) -> None:
    """Write `content` to `goal`, whole or not at all."""
    with atomic_path(goal) as temporary:
        temporary.write_bytes(content)


def write_text(goal: Path, content: str) -> None:
    """Write `content` as UTF-8 with the line ends it has, whole or not at all."""
    write_bytes(goal, content.encode("utf-8"))


def sweep(folder: Path, seconds: float = 0.0) -> None:
    """Remove the temporary files in and below `folder` that a crash has left.

    Args:
        folder: nothing may be writing there,
        seconds: or nothing for so long.
    """
    for leftover in folder.rglob(".*.tmp"):
        with suppress(OSError):
            if not seconds or time.time() - leftover.stat().st_mtime >= seconds:
                leftover.unlink()


def _give_default_mode(path: Path) -> None:
    # mkstemp makes files that only their owner can read; results are meant to be shared as the
    # user's umask says.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle to flush a folder by.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
