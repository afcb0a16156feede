"""Transfer of tensors to the device that computes, without waiting for it.

A copy from ordinary memory makes PyTorch wait for everything that a GPU has still to do, so that
its next step could not be prepared meanwhile. A copy from page-locked memory does not.
"""

import torch


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device; a GPU is not waited for.

    Args:
        tensor: on the CPU. If it is not page-locked already, it is for the copy to a GPU.
        device: where to.

    Returns:
        The tensor on `device`.
    """
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
