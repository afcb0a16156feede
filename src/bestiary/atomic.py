"""Atomic file writes: a file is complete or absent, also after a crash.

bestiary writes every file to a temporary name in the same folder, flushes it to the disk and
renames it. A reader never sees half a file, and a crash leaves the previous one in place. Knows
nothing of what the bytes mean.
"""

import errno
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bestiary.details import detail
from bestiary.errors import BestiaryError
from bestiary.printable import place_name

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# Of C++ streams (OpenVINO) and of PyTorch's archive
_STREAM_ERRORS = ("iostream error", "PytorchStreamWriter failed", "inline_container")
_PROBE_BYTES = 65_536
_NEEDED_FOLDERS: list[Path] = []
_WRITE_CALLBACKS: dict[Path, Callable[[Path], None]] = {}


@contextmanager
def atomic_path(goal: Path, former: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path; at the end of the block flush it and rename it to `goal`.

    Args:
        goal: the file to write. Its folder is created if needed.
        former: new name for the file that `goal` replaces. After a crash between the two
            renames, only `former` exists.

    Yields:
        A path in the folder of `goal`. After an exception in the block it is removed and `goal`
        stays as it was.

    Raises:
        BestiaryError: the folder cannot be written (read-only, no space left), or it is one of
            `need_folder` and has vanished.
    """
    _check_needed(goal)
    temporary = None
    try:
        with write_errors(goal):
            goal.parent.mkdir(parents=True, exist_ok=True)
            # Readers of images, runs and stores ignore names that start with a dot and end in .tmp.
            handle, name = tempfile.mkstemp(
                prefix=f".{goal.name[:60]}.",
                suffix=".tmp",
                dir=goal.parent,
            )
            os.close(handle)
            temporary = Path(name)
            yield temporary
            _rename_to(goal, temporary, former)
            detail(f"written: {place_name(goal)}")
            _notify(goal)
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def write_errors(goal: Path) -> Iterator[None]:
    """Turn errors of the file system inside the block into one that names `goal` and the remedy.

    Raises:
        BestiaryError: the folder cannot be written (read-only, no space left).
    """
    try:
        yield
    except BestiaryError:
        raise
    except Exception as error:  # native writers have errors of their own
        reason = _reason_of_disk(error, goal.parent)
        if reason is None:
            raise
        raise BestiaryError(
            f"{goal}: cannot be written ({reason}); free space or choose another folder"
        ) from error


def _reason_of_disk(error: Exception, folder: Path) -> str | None:
    """Say what the file system did not do; None if the error has another cause.

    Rust's libraries put the number of the system's error into the message, C++ streams nothing.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or type(error).__name__
    message = str(error)
    number = re.search(r"os error (\d+)", message)
    if number:
        return os.strerror(int(number[1]))
    for code in _DISK_ERRORS:
        if os.strerror(code) in message:
            return os.strerror(code)
    if any(words in message for words in _STREAM_ERRORS):
        return _probe(folder) or "the disk takes no more"
    return _probe(folder)


def _probe(folder: Path) -> str | None:
    """Try to write a little; say why that fails."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


@contextmanager
def need_folder(folder: Path) -> Iterator[None]:
    """Never make `folder` again inside the block: where it has been renamed, writing fails."""
    _NEEDED_FOLDERS.append(folder)
    try:
        yield
    finally:
        _NEEDED_FOLDERS.remove(folder)


def _check_needed(goal: Path) -> None:
    for folder in list(_NEEDED_FOLDERS):
        if goal.is_relative_to(folder) and not folder.is_dir():
            raise BestiaryError(
                f"{folder}: is not there any more, and {goal.name} is not written; put the folder "
                f"back where it was, or go on in its new place with --resume"
            )


@contextmanager
def watch_writes(folder: Path, on_write: Callable[[Path], None]) -> Iterator[None]:
    """Call `on_write` with each file in or below `folder` that is written inside the block."""
    _WRITE_CALLBACKS[folder] = on_write
    try:
        yield
    finally:
        del _WRITE_CALLBACKS[folder]


def write_bytes(goal: Path, content: bytes) -> None:
    """Write `content` to `goal` atomically."""
    with atomic_path(goal) as temporary:
        temporary.write_bytes(content)


def write_text(goal: Path, content: str) -> None:
    r"""Write `content` to `goal` atomically, as UTF-8 and with the line ends it has.

    Example:
        >>> write_text(Path("notes/today.txt"), "one line\n")
        >>> Path("notes/today.txt").read_bytes()
        b'one line\n'
    """
    write_bytes(goal, content.encode("utf-8"))


def remove_leftovers(folder: Path, min_age: float = 0.0) -> None:
    """Remove the temporary files in and below `folder` that a crash has left.

    Args:
        folder: with `min_age` 0, no process may be writing there.
        min_age: seconds since a file was last changed. Younger files stay.
    """
    for leftover in folder.rglob(".*.tmp"):
        with suppress(OSError):
            if not min_age or time.time() - leftover.stat().st_mtime >= min_age:
                leftover.unlink()


def _rename_to(goal: Path, temporary: Path, former: Path | None) -> None:
    """Make `temporary` durable under the name `goal`: flush the file, rename, flush the folder."""
    _apply_umask(temporary)
    _flush(temporary)
    if former is not None and goal.exists():
        os.replace(goal, former)
    os.replace(temporary, goal)
    _flush(goal.parent)


def _notify(goal: Path) -> None:
    """Call the callbacks of `watch_writes`."""
    for folder, on_write in list(_WRITE_CALLBACKS.items()):
        if goal.is_relative_to(folder):
            on_write(goal)


def _apply_umask(path: Path) -> None:
    # mkstemp creates files that only their owner can read. Results are meant to be shared.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder to flush it.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
