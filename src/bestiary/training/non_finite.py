"""Non-finite numbers: check losses and weights for NaN and infinity, and diagnose the cause.

Does not know what is done about them: `bestiary.training.fold` returns to the last checkpoint.
"""

from dataclasses import dataclass

import torch

from bestiary.recipe.choices import Precision
from bestiary.training.loss import Loss


class NotFiniteError(Exception):
    """A loss or a weight is infinite or not a number; the message says which."""


def check_losses(losses: list[torch.Tensor]) -> None:
    """Check that all losses are finite.

    Args:
        losses: scalars on one device; the check waits for it.

    Raises:
        NotFiniteError: one is not.
    """
    if losses and not _is_finite(torch.stack(losses)):
        raise NotFiniteError("the loss is not finite")


def check_weights(network: torch.nn.Module) -> None:
    """Check that all parameters and running averages of a network are finite.

    Args:
        network: on any device.

    Raises:
        NotFiniteError: one is not.
    """
    # A sum is finite only if all values are, and it needs no memory. Weights so large that their
    # sum overflows are of no use either.
    sums = [
        tensor.float().sum()
        for tensor in network.state_dict().values()
        if tensor.is_floating_point()
    ]
    if not _is_finite(torch.stack(sums)):
        raise NotFiniteError("a weight is not finite")


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(tensor.isfinite().all())


@dataclass(frozen=True, slots=True)
class NonFiniteDiagnosis:
    """A training step whose loss is not finite, and the search for the cause.

    Attributes:
        network: as it was before the step, without the accelerator's wrapper.
        images: input of the network, float (n, 3, size, size).
        targets: soft targets (n, classes).
        loss_of: training loss.
        precision: of the network.
        lr: learning rate.
    """

    network: torch.nn.Module
    images: torch.Tensor
    targets: torch.Tensor
    loss_of: Loss
    precision: Precision
    lr: float

    def diagnosis(self) -> str:
        """Find the likeliest cause, and name it with its remedy in half a line."""
        if not (_is_finite(self.images) and _is_finite(self.targets)):
            return (
                "the network's input is not finite: look at the view and mix options of the recipe"
            )
        if not all(_is_finite(weights) for weights in self.network.parameters()):
            return f"the step before made the weights infinite: {self._lr_remedy()}"
        if self.precision != "float32" and self._finite_in_float32():
            return (
                f"{self.precision} overflows where float32 does not: begin a new run with "
                "train.precision=float32"
            )
        return f"the weights have grown until the loss overflows: {self._lr_remedy()}"

    def _lr_remedy(self) -> str:
        return (
            f"the learning rate {self.lr:.3g} is too high; begin a new run with a tenth of "
            "optimizer.lr"
        )

    @torch.no_grad()
    def _finite_in_float32(self) -> bool:
        device_type = self.images.device.type
        with torch.autocast(device_type, enabled=False):
            logits = self.network(self.images.float()).float()
        loss = self.loss_of(logits, self.targets.float())
        return bool(loss.isfinite())
