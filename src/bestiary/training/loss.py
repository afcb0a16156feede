"""Logits and soft targets -> the loss that training makes small.

With uneven classes the logits may be adjusted by their frequencies, so that rare classes are not
drowned: Menon et al. 2021, arXiv:2007.07314.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from bestiary.recipe.options import LossOptions

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(options: LossOptions, frequencies: torch.Tensor) -> Loss:
    """The loss that the recipe asks for: (logits (n, classes), targets (n, classes)) -> mean over
    the batch.

    Args:
        options: kind, smoothing and adjustment.
        frequencies: share of each class in the training part (classes,), on the device.
    """
    smoothing, offset = options.label_smoothing, log_offset(frequencies, options.logit_adjustment)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if offset is not None:
            logits = logits + offset
        if options.kind == "focal":
            return focal(logits, smooth(targets, smoothing), options.gamma)
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)

    return loss


def log_offset(frequencies: torch.Tensor, adjustment: float) -> torch.Tensor | None:
    """What is added to logits (n, classes) in training alone: `adjustment` times the logarithm of
    `frequencies`.

    A class without an image counts as the rarest that has one; None where nothing is adjusted.
    """
    if not adjustment:
        return None
    return adjustment * frequencies.clamp(min=float(frequencies[frequencies > 0].min())).log()


def focal(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """Focal loss for soft targets: each class's part weighted by (1 - p)^gamma (Lin et al. 2017,
    arXiv:1708.02002).
    """
    log_p = logits.log_softmax(dim=1)
    return -(targets * (1 - log_p.exp()).pow(gamma) * log_p).sum(dim=1).mean()


def smooth(targets: torch.Tensor, share: float) -> torch.Tensor:
    """Spread `share` of each target evenly over all classes (Szegedy et al. 2016,
    arXiv:1512.00567).
    """
    return targets * (1 - share) + share / targets.shape[1] if share else targets
