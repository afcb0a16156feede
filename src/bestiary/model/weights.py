"""Load a user's weights file into a network: safetensors, or a PyTorch state dict.

A PyTorch file is read with ``weights_only=True``, so nothing in it is executed. A head of another
size is left as it is, as it must be trained anyway. Any other difference is an error that names
it. Knows nothing of images or training.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bestiary.errors import WeightsError

State = dict[str, torch.Tensor]
_READ_ERRORS = (
    SafetensorError,
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    UnpicklingError,
)


def load_weights_file(network: nn.Module, file: Path, head: str) -> None:
    """Load a state dict into a network, except for a head of another size.

    Args:
        network: whose parameters are set.
        file: .safetensors, .pth or .pt.
        head: dotted name of the last linear layer.

    Raises:
        WeightsError: the file is missing, holds no state dict of tensors, or does not fit the
            network.
    """
    state = read_state(file)
    own = network.state_dict()
    for key in (f"{head}.weight", f"{head}.bias"):
        if key in own and (key not in state or state[key].shape != own[key].shape):
            state[key] = own[key]
    _check_keys(file, own, state)
    network.load_state_dict(state)


def _check_keys(file: Path, own: Mapping[str, torch.Tensor], state: State) -> None:
    """Compare the names and shapes of a network's own state with those of a file."""
    other_shape = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    differences = {
        "lacks": own.keys() - state.keys(),
        "has the unknown": state.keys() - own.keys(),
        "has another shape for": other_shape,
    }
    for verb, keys in differences.items():
        if keys:
            first, *others = sorted(keys)
            more = f" and {len(others)} more" if others else ""
            raise WeightsError(
                f"model.weights = {str(file)!r}: {verb} {first}{more}; is it of this backbone?"
            )


def read_state(file: Path) -> State:
    """Read a state dict; nothing in the file is executed.

    Args:
        file: .safetensors, or a PyTorch file.

    Raises:
        WeightsError: the file is missing, or holds no state dict of tensors.
    """
    if not file.is_file():
        raise WeightsError(f"model.weights = {str(file)!r}: no such file; check the path")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a pickle that it refuses next
            state = torch.load(file, map_location="cpu", weights_only=True)
    except _READ_ERRORS as error:
        raise WeightsError(f"model.weights = {str(file)!r}: {_problem(error)}") from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(
            f"model.weights = {str(file)!r}: is no state dict; save network.state_dict()"
        )
    return dict(state)


def _problem(error: Exception) -> str:
    """Say why a file could not be read, and what to do."""
    if not isinstance(error, UnpicklingError):
        return f"is not a whole weights file ({short_reason(error)}); fetch or save it again"
    if "GLOBAL" in str(error):
        return "holds more than tensors, which could run code, and is refused; save a .safetensors"
    return (
        "is not a whole weights file, or a pickle that could run code, and is refused; "
        "save a .safetensors"
    )


def short_reason(error: Exception) -> str:
    """Shorten another library's exception to its type and 100 characters of its message."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text[:100]}" if text else name
