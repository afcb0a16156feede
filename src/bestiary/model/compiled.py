"""Compiled network: torch.compile for batches of one size, the plain network for all others.

torch.compile would compile a second, slower graph for the smaller last batch of an epoch, in the
middle of training. After a few networks, one a fold, it gives up without a word. So compiled code
of earlier networks is forgotten. Knows nothing of training.
"""

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn


class CompiledNetwork(nn.Module):
    """A network that is compiled for one number of images.

    Args:
        network: to compile; it shares its parameters, and stays as it is.
        batch_size: images of the batches that are computed by compiled code.
    """

    def __init__(self, network: nn.Module, batch_size: int) -> None:
        super().__init__()
        torch._dynamo.reset()  # its limit of versions counts those of other networks too
        self.plain = network
        self.batch_size = batch_size
        self._compiled = torch.compile(network, dynamic=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute what the network does of images (n, ...)."""
        is_whole = len(images) == self.batch_size
        compute: Any = self._compiled if is_whole else self.plain
        return cast(torch.Tensor, compute(images))

    def no_sync(self) -> AbstractContextManager[None]:
        """Keep gradients on this rank, as `DistributedDataParallel` offers it."""
        return cast(AbstractContextManager[None], cast(Any, self.plain).no_sync())
