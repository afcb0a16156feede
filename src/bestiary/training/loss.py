"""Training loss: logits and soft targets -> cross-entropy or focal loss, with label smoothing.

Logit adjustment corrects the loss for class imbalance: the logits are shifted by the class
frequencies, so that rare classes are not drowned (Menon et al. 2021, arXiv:2007.07314).

Class weights and balanced sampling train as if the classes had other shares. The logits are shifted
by the ratio of these shares to the natural ones, so what is learned are the logits of the natural
shares: a prior that is corrected from the first step, in every average of weights and in
calibration. Logit adjustment alone says which shares the answers are for. Knows nothing of networks
or optimizers.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from bestiary.recipe.choices import Sampler
from bestiary.recipe.sections import LossOptions

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Logits (n, classes) and soft targets (n, classes) -> mean loss, a scalar."""


def build_loss(
    options: LossOptions, frequencies: torch.Tensor, sampler: Sampler = "shuffled"
) -> Loss:
    """Build the loss function of a recipe.

    Args:
        options: kind of loss, label smoothing, logit adjustment and class weights.
        frequencies: share of each class in the training part, (classes,), on the device.
        sampler: how the images of an epoch are chosen.

    Returns:
        A function of logits (n, classes) and targets (n, classes) to the mean over the batch.
    """
    smoothing = options.label_smoothing
    is_balanced = float(sampler == "balanced")
    prior_correction = options.class_weights + is_balanced
    offset = logit_offset(frequencies, options.logit_adjustment - prior_correction)
    weights = class_weights(frequencies, options.class_weights)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if offset is not None:
            logits = logits + offset
        if options.kind == "focal":
            smoothed = smooth_labels(targets, smoothing)
            weighted = smoothed if weights is None else smoothed * weights
            return focal_loss(logits, weighted, options.gamma)
        return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing)

    return loss


def class_weights(frequencies: torch.Tensor, strength: float) -> torch.Tensor | None:
    """Compute the weight of each class's images in the loss.

    Args:
        frequencies: share of each class, (classes,). A class without images counts as the rarest
            class that has images.
        strength: 0 turns the weights off, with 1 all classes count alike.

    Returns:
        Weights (classes,) whose mean over the images is 1; None if they are turned off.

    Example:
        >>> class_weights(torch.tensor([0.8, 0.2]), 1.0).tolist()
        [0.625, 2.5]
    """
    if not strength:
        return None
    rarest = float(frequencies[frequencies > 0].min())
    weights = frequencies.clamp(min=rarest).pow(-strength)
    return weights / (frequencies * weights).sum()


def logit_offset(frequencies: torch.Tensor, adjustment: float) -> torch.Tensor | None:
    """Compute the offset that logit adjustment adds to the logits, in training only.

    Args:
        frequencies: share of each class, (classes,). A class without images counts as the rarest
            class that has images.
        adjustment: strength; 0 turns the adjustment off, 1 makes classes equally likely. Below 0,
            it corrects for classes that training has made more equal than they are.

    Returns:
        `adjustment` times the logarithm of `frequencies`, (classes,); None if it is turned off.
    """
    if not adjustment:
        return None
    positive = frequencies[frequencies > 0]
    rarest = float(positive.min())
    log_frequencies = frequencies.clamp(min=rarest).log()
    return adjustment * log_frequencies


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """Compute the focal loss for soft targets (Lin et al. 2017, arXiv:1708.02002).

    Args:
        logits: (n, classes).
        targets: soft targets (n, classes).
        gamma: each class's cross-entropy is weighted by (1 - p)^gamma.

    Returns:
        The mean over the batch, a scalar.
    """
    log_p = logits.log_softmax(dim=1)
    weights = (1 - log_p.exp()).pow(gamma)
    weighted_log_p = targets * weights * log_p
    return -weighted_log_p.sum(dim=1).mean()


def smooth_labels(targets: torch.Tensor, share: float) -> torch.Tensor:
    """Smooth labels: spread a share of each target evenly over all classes.

    Szegedy et al. 2016, arXiv:1512.00567.

    Args:
        targets: (n, classes).
        share: 0 to 1; 0 returns the targets unchanged.

    Returns:
        Soft targets (n, classes).
    """
    if not share:
        return targets
    n_classes = targets.shape[1]
    return targets * (1 - share) + share / n_classes
