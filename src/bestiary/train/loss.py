"""Logits and soft targets -> the loss that training makes small."""

from collections.abc import Callable

import torch
from torch.nn import functional

from bestiary.recipe import LossOptions

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(options: LossOptions) -> Loss:
    """The loss that the recipe asks for: (logits (n, classes), targets (n, classes)) -> mean over the batch."""
    if options.kind == "focal":
        return lambda logits, targets: focal(logits, smooth(targets, options.label_smoothing), options.gamma)
    return lambda logits, targets: functional.cross_entropy(logits, targets, label_smoothing=options.label_smoothing)


def focal(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """Focal loss for soft targets: each class's part weighted by (1 - p)^gamma (Lin et al. 2017, arXiv:1708.02002)."""
    log_p = logits.log_softmax(dim=1)
    return -(targets * (1 - log_p.exp()).pow(gamma) * log_p).sum(dim=1).mean()


def smooth(targets: torch.Tensor, share: float) -> torch.Tensor:
    """Spread `share` of each target evenly over all classes (Szegedy et al. 2016, arXiv:1512.00567)."""
    return targets * (1 - share) + share / targets.shape[1] if share else targets
