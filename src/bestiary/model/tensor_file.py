"""Save named tensors and a JSON card as one safetensors file with a checksum.

Safetensors detects a truncated file, but not changed bytes; the checksum does. Nothing in the file
is executed. Knows nothing of networks.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bestiary.atomic import atomic_path
from bestiary.errors import DamagedError, one_line
from bestiary.regular_files import MAX_WEIGHTS_BYTES, check_regular

METADATA = "bestiary"  # the file's metadata key of the card
CHECKSUM = "sha256"  # the card's key
MAX_HEADER_BYTES = 16 << 20  # names and shapes of the tensors; a hundred thousand take 10 MB
_READ_ERRORS = (OSError, SafetensorError, RuntimeError, TypeError, ValueError, RecursionError)


def write_tensors(
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    card: dict[str, Any],
    *,
    former: Path | None = None,
) -> None:
    """Write tensors and a card, whole or not at all.

    Args:
        file: to write.
        tensors: by name.
        card: JSON values.
        former: what an existing `file` is renamed to; None: it is replaced.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    # Rearranged on the tensor's own device: a GPU takes no time for it, one core a second for 1 GB.
    contiguous = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    # A single metadata entry: safetensors writes several in any order, and the same tensors must
    # give the same bytes.
    text = json.dumps(card | {CHECKSUM: checksum(contiguous, card)})
    with atomic_path(file, former) as temporary:
        save_file(contiguous, temporary, metadata={METADATA: text})


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a file that `write_tensors` wrote. A card without a checksum is accepted.

    Args:
        file: to read.

    Returns:
        The tensors and the card.

    Raises:
        DamagedError: the file is missing, truncated, changed or not bestiary's; the message is a
            short phrase.
    """
    tensors, card, _ = read_verified(file)
    return tensors, card


def read_verified(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], str]:
    """Read a file as `read_tensors` does, and say what its checksum is.

    Args:
        file: to read.

    Returns:
        The tensors, the card and their checksum.

    Raises:
        DamagedError: as `read_tensors`.
    """
    with _opened(file) as archive:
        card = _read_card(archive)
        keys = archive.keys()
        tensors = {key: archive.get_tensor(key) for key in keys}
    expected = card.pop(CHECKSUM, None)
    found = checksum(tensors, card)
    if expected not in (None, found):
        raise DamagedError("its checksum does not hold")
    return tensors, card, found


def claimed_checksum(file: Path) -> str | None:
    """Read the checksum that a file claims, which `read_verified` may find not to hold.

    Args:
        file: to read.

    Returns:
        The checksum; None where the file claims none or cannot be read.
    """
    try:
        with _opened(file) as archive:
            claimed = _read_card(archive).get(CHECKSUM)
    except DamagedError:
        return None
    return claimed if isinstance(claimed, str) else None


def read_shapes(file: Path) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """Read the shape of each tensor and the card, without the tensors, which may be gigabytes.

    Args:
        file: that `write_tensors` wrote.

    Returns:
        The shapes by name, and the card.

    Raises:
        DamagedError: as `read_tensors`, but for the checksum.
    """
    with _opened(file) as archive:
        card = _read_card(archive)
        shapes = {key: archive.get_slice(key).get_shape() for key in archive.keys()}  # noqa: SIM118
    card.pop(CHECKSUM, None)
    return shapes, card


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
def _opened(file: Path) -> Iterator[Any]:
    """Open a file whose content the block reads; every failure is a `DamagedError`."""
    try:
        check_tensor_file(file)
        with safe_open(file, "pt") as archive:
            yield archive
    except KeyError:
        raise DamagedError("it is not what bestiary writes") from None
    except _READ_ERRORS as error:
        raise DamagedError(one_line(error, 100)) from None


def _read_card(archive: Any) -> dict[str, Any]:
    metadata = archive.metadata() or {}
    return dict(json.loads(metadata[METADATA]))


def checksum(tensors: Mapping[str, torch.Tensor], card: dict[str, Any]) -> str:
    """Compute the SHA-256 of a card and of every tensor's name, dtype, shape and bytes.

    Args:
        tensors: by name.
        card: JSON values.

    Returns:
        The digest, hexadecimal.
    """
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        value_bytes = value.detach().cpu().reshape(-1).view(torch.uint8)
        digest.update(value_bytes.numpy().data)
    return digest.hexdigest()
