"""Named tensors and a card of JSON <-> one safetensors file that knows its own checksum; nothing in
it is executed.

Safetensors itself tells a file that is cut short, but not one whose bytes have changed. Knows
nothing of networks.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bestiary.atomic import atomic_path
from bestiary.errors import DamagedError, one_line

CHECKSUM = "sha256"  # the card's key


def write_tensors(
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    card: dict[str, Any],
    *,
    former: Path | None = None,
) -> None:
    """Write `tensors` and `card`, whole or not at all; the file that was there is kept as `former`,
    if that is given.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    kept = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    # One entry: safetensors writes several in any order, and the same tensors must be the same
    # bytes.
    note = {"bestiary": json.dumps(card | {CHECKSUM: checksum(kept, card)})}
    with atomic_path(file, former) as temporary:
        save_file(kept, temporary, metadata=note)


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the card of a file that `write_tensors` wrote; a card without a checksum is
    taken as it is.

    Raises:
        DamagedError: the file is missing, cut short, changed or of another make; the message is a
            short phrase.
    """
    try:
        with safe_open(file, "pt") as archive:
            card = dict(json.loads((archive.metadata() or {})["bestiary"]))
            tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 (not a dict)
    except KeyError:
        raise DamagedError("it is not of bestiary's making") from None
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError, RecursionError) as error:
        raise DamagedError(one_line(error, 100)) from None
    expected = card.pop(CHECKSUM, None)
    if expected is not None and expected != checksum(tensors, card):
        raise DamagedError("its checksum does not hold")
    return tensors, card


def checksum(tensors: Mapping[str, torch.Tensor], card: dict[str, Any]) -> str:
    """SHA-256, hexadecimal, of the card and of every tensor's name, kind, shape and bytes."""
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
