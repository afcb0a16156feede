"""The device that the user chooses by --device, for this process and those that it starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bestiary.errors import ArgumentError

DEVICE_VARIABLE = "BESTIARY_DEVICE"
KINDS = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def chosen_device(kind: str | None) -> Iterator[None]:
    """Compute on a device of this kind inside the block.

    Args:
        kind: cpu, cuda, mps or xpu, as PyTorch names them; None: what is chosen already.

    Raises:
        ArgumentError: the kind is unknown, or this machine has no such device.
    """
    if kind is None:
        yield
        return
    _check(kind)
    before = os.environ.get(DEVICE_VARIABLE)
    os.environ[DEVICE_VARIABLE] = kind
    try:
        yield
    finally:
        if before is None:
            del os.environ[DEVICE_VARIABLE]
        else:
            os.environ[DEVICE_VARIABLE] = before


def best_device() -> torch.device:
    """Return the device that the user has chosen, else the GPU if there is one, else the CPU.

    Raises:
        ArgumentError: the environment names a device that is unknown or not there.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if chosen := os.environ.get(DEVICE_VARIABLE):
        _check(chosen)
        return torch.device(chosen)
    return accelerator or torch.device("cpu")


def _check(kind: str) -> None:
    """Refuse a device that is unknown or not on this machine."""
    word, colon, number = kind.partition(":")
    if word in KINDS and colon:
        raise ArgumentError(
            f"--device {kind}: names one of several GPUs; give {word} here, and choose it by "
            f"CUDA_VISIBLE_DEVICES={number}"
        )
    if kind not in KINDS:
        raise ArgumentError(f"--device {kind}: is unknown; choose {', '.join(KINDS)}")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if kind != "cpu" and (accelerator is None or accelerator.type != kind):
        have = f"cpu or {accelerator.type}" if accelerator else "cpu"
        raise ArgumentError(f"--device {kind}: this machine has no such device; choose {have}")
