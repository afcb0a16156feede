"""Read a file that may come from a stranger: a regular file, not larger than its kind may be.

A folder from a stranger can contain a FIFO, which blocks its reader for ever. It can contain a link
to a device without an end, or a file of a terabyte that takes no space on the disk. Here each of
them is an `OSError` with a reason, at once. Knows nothing of what the bytes mean.
"""

import errno
import os
import stat
from pathlib import Path

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
MAX_TEXT_BYTES = 32 * MEGABYTE
"""Most bytes of a JSON, TOML or checksum file. 32 MiB of JSON take up to 1 GB of memory."""
MAX_CSV_BYTES = 512 * MEGABYTE
MAX_TABLE_BYTES = 4 * GIGABYTE
"""Most bytes of a Parquet file."""
MAX_WEIGHTS_BYTES = 64 * GIGABYTE
"""Most bytes of a safetensors file. Its shapes are compared with a network before it is read."""
MAX_IMAGE_BYTES = 1 * GIGABYTE
"""Most bytes of an image file."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnfitFileError(OSError):
    """A file that is not opened: it is no regular file, or too large."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def read_regular(file: Path, max_bytes: int) -> bytes:
    """Read a whole file.

    Args:
        file: to read; a link is followed.
        max_bytes: most bytes that a file of its kind has.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, is larger, or cannot be read.

    Example:
        >>> from pathlib import Path
        >>> read_regular(Path("/dev/zero"), 100)
        Traceback (most recent call last):
        bestiary.regular_files.UnfitFileError: is a device, not a regular file
    """
    check_regular(file, max_bytes)
    # The file may have been replaced since the check: a FIFO must not block here either.
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        _check_status(status, max_bytes)
        content = stream.read(status.st_size + 1)  # takes memory for as much as it is asked for
    if len(content) > status.st_size:
        raise UnfitFileError("is longer than its size says, or is being written")
    return content


def check_regular(file: Path, max_bytes: int) -> None:
    """Check a file that another library will open by its path.

    Args:
        file: to check; a link is followed.
        max_bytes: most bytes that a file of its kind has.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, or larger.
    """
    _check_status(os.stat(file), max_bytes)


def special_kind(mode: int) -> str:
    """Name the kind of an entry of a folder that is neither a regular file nor a folder.

    Args:
        mode: of its status.

    Returns:
        Such as ``a FIFO``; empty for a regular file and a folder.
    """
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return _kind(mode)


def _kind(mode: int) -> str:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            return name
    return "something else"


def _check_status(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnfitFileError(f"is {_kind(status.st_mode)}, not a regular file")
    if status.st_size > max_bytes:
        raise _too_large(status.st_size, max_bytes)


def _too_large(n_bytes: int, max_bytes: int) -> UnfitFileError:
    return UnfitFileError(f"holds {n_bytes:,} bytes, and such a file at most {max_bytes:,}")
