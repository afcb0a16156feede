"""A weights file of the user's -> a network's parameters, nothing executed on the way.

Safetensors, or a PyTorch file read with ``weights_only=True``. A last layer of another size is left
as it is (it must be trained anyway); any other difference is an error that names it.
"""

import warnings
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bestiary.errors import WeightsError


def load_weights_file(network: nn.Module, file: Path, head: str) -> None:
    """Load a state dict into `network`, all but a `head` whose shape differs.

    Raises:
        WeightsError: the file is missing, no state dict of tensors, or does not fit the network.
    """
    state = _read_state(file)
    own = network.state_dict()
    for key in (f"{head}.weight", f"{head}.bias"):
        if key in own and (key not in state or state[key].shape != own[key].shape):
            state[key] = own[key]
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    for what, keys in (
        ("lacks", missing),
        ("has the unknown", unexpected),
        ("has another shape for", sorted(shapes)),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise WeightsError(
                f"model.weights = {str(file)!r}: {what} {keys[0]}{more}; is it of this backbone?"
            )
    network.load_state_dict(state)


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise WeightsError(f"model.weights = {str(file)!r}: no such file; check the path")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings():  # of what it is about to refuse
            warnings.simplefilter("ignore")
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        UnpicklingError,
    ) as error:
        if isinstance(error, UnpicklingError) and "GLOBAL" in str(error):
            reason = (
                "holds more than tensors, which could run code, and is refused; save a .safetensors"
            )
        elif isinstance(error, UnpicklingError):
            reason = "is not a whole weights file, or a pickle that could run code, and is refused; save a .safetensors"
        else:
            reason = f"is not a whole weights file ({reason_of(error)}); fetch or save it again"
        raise WeightsError(f"model.weights = {str(file)!r}: {reason}") from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(
            f"model.weights = {str(file)!r}: is no state dict; save network.state_dict()"
        )
    return dict(state)


def reason_of(error: Exception) -> str:
    """An exception of a library's as a short phrase for one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:100]}" if text else type(error).__name__
