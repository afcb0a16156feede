"""TODO training.non_finite"""

from dataclasses import dataclass

import torch

from bestiary.model.compute import Precision
from bestiary.training.loss import Loss


def check_losses(losses: list[torch.Tensor]) -> None:
    """Raise `NotFiniteError` where one is not finite."""
    if losses and not bool(torch.stack(losses).isfinite().all()):
        raise NotFiniteError("the loss is not finite")


def check_weights(network: torch.nn.Module) -> None:
    """Raise `NotFiniteError` where a parameter or a running average is not finite."""
    tensors = [value for value in network.state_dict().values() if value.is_floating_point()]
    # a sum is finite only if all are, and it needs no memory; huge weights that overflow it are no
    # good either
    if not bool(torch.stack([value.float().sum() for value in tensors]).isfinite().all()):
        raise NotFiniteError("a weight is not finite")


class NotFiniteError(Exception):
    """A loss or a weight is infinite or not a number; says which."""


@dataclass(frozen=True, slots=True)
class NonFiniteDiagnosis:
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
            return (
                "the network's input is not finite: look at the view and mix options of the recipe"
            )
        if not all(bool(value.isfinite().all()) for value in self.network.parameters()):
            return f"the step before made the weights infinite: {self._lower_rate()}"
        if self.precision != "float32" and self._finite_in_float32():
            return f"{self.precision} overflows where float32 does not: begin a new run with train.precision=float32"
        return f"the weights have grown until the loss overflows: {self._lower_rate()}"

    def _lower_rate(self) -> str:
        return f"the learning rate {self.rate:.3g} is too high; begin a new run with a tenth of optimizer.lr"

    @torch.no_grad()
    def _finite_in_float32(self) -> bool:
        device = self.images.device.type
        with torch.autocast(device, enabled=False):
            logits = self.network(self.images.float()).float()
        return bool(self.loss_of(logits, self.targets.float()).isfinite())
