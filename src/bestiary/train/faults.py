"""What can go wrong while a network is trained, and what it was: memory that is short, numbers that are not finite."""

from dataclasses import dataclass

import torch
from accelerate.utils.memory import should_reduce_batch_size

from bestiary.model.arithmetic import Precision
from bestiary.train.loss import Loss


class NotFiniteError(Exception):
    """A loss or a weight is infinite or not a number; says which."""


class ShortMemoryError(Exception):
    """The device or the machine had no memory left for a part of a batch.

    Attributes:
        parts: what the batch was cut into.
    """

    def __init__(self, parts: int) -> None:
        super().__init__(parts)
        self.parts = parts


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device or the machine has no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and should_reduce_batch_size(error)


@dataclass(frozen=True, slots=True)
class Suspect:
    """The step that gave a loss that is not finite.

    Attributes:
        network: as it was before the step, without the accelerator's wrapping.
        images: as the network was given them.
        targets: soft.
        loss_of: what was made small.
        precision: the network's arithmetic.
        rate: the learning rate.
    """

    network: torch.nn.Module
    images: torch.Tensor
    targets: torch.Tensor
    loss_of: Loss
    precision: Precision
    rate: float

    def diagnosis(self) -> str:
        """The likeliest cause with its remedy, as half a line."""
        if not bool(self.images.isfinite().all() & self.targets.isfinite().all()):
            return "the network's input is not finite: look at the view and mix options of the recipe"
        if not all(bool(value.isfinite().all()) for value in self.network.parameters()):
            return f"the step before made the weights infinite: {self._lower_rate()}"
        if self.precision != "float32" and self._finite_in_float32():
            return f"{self.precision} overflows where float32 does not: begin a new run with train.precision=float32"
        return f"the weights have grown until the loss overflows: {self._lower_rate()}"

    def _lower_rate(self) -> str:
        return f"the learning rate {self.rate:.3g} is too high; begin a new run with a tenth of optimiser.lr"

    @torch.no_grad()
    def _finite_in_float32(self) -> bool:
        device = self.images.device.type
        with torch.autocast(device, enabled=False):
            logits = self.network(self.images.float()).float()
        return bool(self.loss_of(logits, self.targets.float()).isfinite())
