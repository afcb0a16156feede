"""Determinism: the option train.deterministic -> the same bits from a GPU, run after run.

A CPU gives them anyway. A GPU adds numbers in whatever order its threads finish, unless PyTorch,
cuDNN and cuBLAS are told to use algorithms of a fixed order. These are slower, by how much depends
on the network, and a few operations have none. Does not know the training loop.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bestiary.errors import RunError, one_line
from bestiary.model.compute import cudnn_options

# PyTorch's manual, "Reproducibility": cuBLAS is deterministic with workspaces of a fixed size.
CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
CUBLAS_WORKSPACES = ":4096:8"
NO_ALGORITHM = "does not have a deterministic implementation"


@contextmanager
def deterministic_algorithms(wanted: bool, device: torch.device) -> Iterator[None]:
    """Compute deterministically on a GPU inside the block.

    Args:
        wanted: the recipe's `train.deterministic`; false changes nothing.
        device: where the network is trained; on a CPU nothing needs a change.

    Raises:
        RunError: the network has an operation without a deterministic algorithm.
    """
    if not wanted or device.type == "cpu":
        yield
        return

    # Remember the settings, which are those of the whole process.
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill_options: Any = torch.utils.deterministic
    fills = fill_options.fill_uninitialized_memory
    os.environ.setdefault(CUBLAS_VARIABLE, CUBLAS_WORKSPACES)
    try:
        torch.use_deterministic_algorithms(True)
        fill_options.fill_uninitialized_memory = False  # nothing reads it, and it takes time
        with cudnn_options(deterministic=True, benchmark=False):
            yield
    except RuntimeError as error:
        if NO_ALGORITHM not in str(error):
            raise
        raise RunError(
            f"train.deterministic: the network cannot be trained with it ({one_line(error, 100)}); "
            "begin a new run without it, or with another model.backbone"
        ) from None
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        fill_options.fill_uninitialized_memory = fills


def pool_in_fixed_order(network: nn.Module) -> None:
    """Let the max pools of a network pool images with contiguous channels (NCHW).

    With the channels innermost, CUDA adds the gradients of overlapping windows in any order. The
    result of the pools is the same.

    Args:
        network: changed in place.
    """
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_pre_hook(_contiguous_input)


def _contiguous_input(_module: nn.Module, inputs: Any) -> Any:
    (images,) = inputs
    return (images.contiguous(),)
