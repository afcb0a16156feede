"""The card of a safetensors file that bestiary wrote, and the checksum that it claims.

Reads no tensor and needs no PyTorch.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from bestiary.errors import DamagedError, one_line
from bestiary.regular_files import MAX_WEIGHTS_BYTES, check_regular

METADATA = "bestiary"  # the file's metadata key of the card
CHECKSUM = "sha256"  # the card's key
MAX_HEADER_BYTES = 16 << 20  # names and shapes of the tensors; a hundred thousand take 10 MB
_READ_ERRORS = (OSError, SafetensorError, RuntimeError, TypeError, ValueError, RecursionError)


def claimed_checksum(file: Path) -> str | None:
    """Read the checksum that a file claims, which `read_verified` may find not to hold.

    Args:
        file: to read.

    Returns:
        The checksum; None where the file claims none or cannot be read.
    """
    try:
        with opened_tensors(file, "np") as archive:
            claimed = read_tensor_card(archive).get(CHECKSUM)
    except DamagedError:
        return None
    return claimed if isinstance(claimed, str) else None


def check_tensor_file(file: Path, max_bytes: int = MAX_WEIGHTS_BYTES) -> None:
    """Check a safetensors file before it is opened: a regular file, its header not too large.

    Args:
        file: to check.
        max_bytes: most bytes that it may have.

    Raises:
        OSError: it cannot be opened, or is too large.
        ValueError: its header is too large.
    """
    check_regular(file, max_bytes)
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise ValueError(f"its header claims {header_bytes:,} bytes")


@contextmanager
def opened_tensors(file: Path, framework: Literal["np", "pt"]) -> Iterator[Any]:
    """Open a file whose content the block reads; every failure is a `DamagedError`."""
    try:
        check_tensor_file(file)
        with safe_open(file, framework) as archive:
            yield archive
    except KeyError:
        raise DamagedError("it is not what bestiary writes") from None
    except _READ_ERRORS as error:
        raise DamagedError(one_line(error, 100)) from None


def read_tensor_card(archive: Any) -> dict[str, Any]:
    """Read the card of an open file."""
    metadata = archive.metadata() or {}
    return dict(json.loads(metadata[METADATA]))
