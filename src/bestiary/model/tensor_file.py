"""Save named tensors and a JSON card as one safetensors file with a checksum.

Safetensors detects a truncated file, but not changed bytes; the checksum does. Nothing in the file
is executed. Knows nothing of networks.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bestiary.atomic import atomic_path
from bestiary.errors import DamagedError
from bestiary.model.tensor_card import CHECKSUM, METADATA, opened_tensors, read_tensor_card


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
    with opened_tensors(file, "pt") as archive:
        card = read_tensor_card(archive)
        keys = archive.keys()
        tensors = {key: archive.get_tensor(key) for key in keys}
    expected = card.pop(CHECKSUM, None)
    found = checksum(tensors, card)
    if expected not in (None, found):
        raise DamagedError("its checksum does not hold")
    return tensors, card, found


def read_shapes(file: Path) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """Read the shape of each tensor and the card, without the tensors, which may be gigabytes.

    Args:
        file: that `write_tensors` wrote.

    Returns:
        The shapes by name, and the card.

    Raises:
        DamagedError: as `read_tensors`, but for the checksum.
    """
    with opened_tensors(file, "pt") as archive:
        card = read_tensor_card(archive)
        shapes = {key: archive.get_slice(key).get_shape() for key in archive.keys()}  # noqa: SIM118
    card.pop(CHECKSUM, None)
    return shapes, card


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
