"""Graphed network: a CUDA graph for batches of one size, the plain network for all others.

A small network's step on a GPU waits for Python, which launches hundreds of kernels one by one. A
CUDA graph launches all of them at once. The kernels and their results are the same. Knows nothing
of training.
"""

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn


class GraphedNetwork(nn.Module):
    """A network whose forward and backward pass are recorded as CUDA graphs.

    They are recorded at the first whole batch, by `torch.cuda.make_graphed_callables`. The
    gradients of a batch lie where those of the batch before did, so each must have been used by
    then: gradients cannot be added up over several batches.

    Args:
        network: to record; it shares its parameters, and stays as it is.
        batch_size: images of the batches that are computed by the graphs.
    """

    def __init__(self, network: nn.Module, batch_size: int) -> None:
        super().__init__()
        self.plain = network
        self.batch_size = batch_size
        # A list, so that the parameters are not registered twice.
        self._recorded: list[nn.Module] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute what the network does of images (n, ...)."""
        if len(images) != self.batch_size or not torch.is_grad_enabled():
            return cast(torch.Tensor, self.plain(images))
        if not self._recorded:
            self._recorded.append(_record(self.plain, images))
        return cast(torch.Tensor, self._recorded[0](images))

    def no_sync(self) -> AbstractContextManager[None]:
        """Keep gradients on this rank, as `DistributedDataParallel` offers it."""
        return cast(AbstractContextManager[None], cast(Any, self.plain).no_sync())


class _Same(nn.Module):
    """What a network computes; recording replaces this module's forward and not the network's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._outputs: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # A copy, since a network's output may be a view, which nothing can detach in place.
        self._outputs = cast(torch.Tensor, self.network(images)).clone()
        return self._outputs

    def release(self) -> None:
        """Let go of the autograd graph of the last outputs, which the recording keeps.

        Its nodes would add each later gradient up on the stream of the recording: one more wait for
        each parameter in every step, of which PyTorch warns since 2.10.
        """
        if self._outputs is not None:
            self._outputs.detach_()
            self._outputs = None


def _record(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Record a network's passes. Its statistics and the random numbers stay as they were."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    random_state = torch.cuda.get_rng_state(images.device)
    recorded = _Same(network)
    # It computes a few batches of its own before it records.
    torch.cuda.make_graphed_callables(recorded, (images.detach().clone(),))
    recorded.release()
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    torch.cuda.set_rng_state(random_state, images.device)
    return recorded
