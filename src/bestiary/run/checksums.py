"""SHA256SUMS of a run: written as `sha256sum -c` reads it, and compared with the files."""

import hashlib
from pathlib import Path

from bestiary.errors import DamagedError, one_line
from bestiary.regular_files import (
    MAX_TABLE_BYTES,
    MAX_TEXT_BYTES,
    check_regular,
    read_regular,
)
from bestiary.run.layout import CHECKSUMS


def file_digest(file: Path) -> str:
    """Compute the SHA-256 of a file of a run, hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    check_regular(file, MAX_TABLE_BYTES)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path, name: str) -> None:
    """Refuse a file that has changed since the run was begun. One without a line passes.

    Args:
        folder: of the run.
        name: of the file.

    Raises:
        DamagedError: the file has changed, or one of the two cannot be read.
    """
    try:
        expected = _read_checksums(folder / CHECKSUMS)
    except FileNotFoundError:
        return  # an older run without SHA256SUMS
    except (OSError, ValueError) as error:
        raise DamagedError(f"{folder / CHECKSUMS}: cannot be read ({one_line(error)})") from None
    try:
        actual = file_digest(folder / name)
    except FileNotFoundError:
        return  # its reader reports it
    except OSError as error:
        raise DamagedError(f"{folder / name}: cannot be read ({one_line(error)})") from None
    if expected.get(name, actual) != actual:
        raise DamagedError(
            f"{folder / name}: has changed since the run was begun ({CHECKSUMS}); "
            f"put it back, or remove its line there if the change was meant"
        )


def is_listed(folder: Path, name: str) -> bool:
    """Tell whether a run began with a file of this name.

    Args:
        folder: of the run, whose SHA256SUMS can be read or is missing.
        name: of the file.
    """
    try:
        return name in _read_checksums(folder / CHECKSUMS)
    except FileNotFoundError:
        return False


def _read_checksums(file: Path) -> dict[str, str]:
    """File name -> SHA-256."""
    lines = read_regular(file, MAX_TEXT_BYTES).decode("utf-8").splitlines()
    return dict(line.split("  ", 1)[::-1] for line in lines)
