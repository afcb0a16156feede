"""Out-of-fold logits of several runs -> weights that blend them, and what each run adds.

Stacked generalization with weights of 0 or more (Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1;
Breiman 1996, Stacked regressions, doi:10.1007/BF00117832): the blend's logits are a weighted sum.
The weights of a fold are fitted on the other folds, and stay those of that fold's member. So the
blended out-of-fold logits are of images that neither the networks nor the weights have seen. Pure
functions of arrays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.averaging import softmax
from bestiary.stats.intervals import ShareInterval, share_interval
from bestiary.stats.metrics import logit_log_losses
from bestiary.stats.paired import Difference, paired_difference

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

LARGEST_WEIGHT = 100.0  # of logits of unit spread
SMALLEST_SHARE = 1e-4  # of the largest weight; smaller ones become 0


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Several runs as one.

    Attributes:
        folds: the folds of the members, in order (folds,).
        weights: of each run's logits, for the member of each fold (folds, runs).
        logits: blended out-of-fold logits (images, classes).
    """

    folds: Labels
    weights: Floats
    logits: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlendGain:
    """What a blend is worth, out of fold.

    Attributes:
        alone: accuracy of each run.
        blend: accuracy of the blend.
        best: number of the run that is best alone.
        gain: of the blend over that run, paired.
        added: of the blend over the blend without each run, paired; empty for two runs, where that
            is the other run alone.
    """

    alone: list[ShareInterval]
    blend: ShareInterval
    best: int
    gain: Difference
    added: list[Difference]


def blend_runs(
    logits: Floats, labels: Labels, folds: Labels, members: Labels | None = None
) -> Blend:
    """Fit the weights of each fold on the other folds, and blend.

    Args:
        logits: out-of-fold logits of each run (runs, images, classes), at least two runs.
        labels: class numbers (images,).
        folds: fold of each image (images,), at least two.
        members: folds that have a member, with images here or without; None: those of `folds`.

    Returns:
        The blend.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 3, 300)
        >>> signal = 2 * np.eye(3)[labels]
        >>> runs = np.stack([signal + rng.normal(size=(300, 3)), rng.normal(size=(300, 3))])
        >>> bool(blend_runs(runs, labels, np.arange(300) % 3).weights[:, 1].max() < 0.3)
        True
    """
    numbers = np.unique(folds if members is None else members)
    weights = np.empty((len(numbers), len(logits)))
    blended = np.empty(logits.shape[1:])
    for row, fold in enumerate(numbers):
        is_val = folds == fold
        weights[row] = fit_weights(logits[:, ~is_val], labels[~is_val])
        blended[is_val] = np.tensordot(weights[row], logits[:, is_val], axes=1)
    return Blend(numbers, weights, blended)


def fit_weights(logits: Floats, labels: Labels) -> Floats:
    """Fit the weights, 0 or more, whose blend has the least log loss.

    Args:
        logits: (runs, images, classes).
        labels: class numbers (images,).

    Returns:
        Weights (runs,). They need not sum to 1: their size is that of a temperature.
    """
    from scipy.optimize import minimize  # here: it is slow to import, and only fitting needs it

    centered = logits - logits.mean(axis=2, keepdims=True)
    spreads = np.maximum(centered.std(axis=(1, 2)), 1e-12)
    scaled = centered / spreads[:, None, None]
    images = np.arange(len(labels))

    def loss(weights: Floats) -> tuple[float, Floats]:
        blended = np.tensordot(weights, scaled, axes=1)
        residuals = softmax(blended)
        residuals[images, labels] -= 1
        gradient = (scaled * residuals).sum(axis=(1, 2)) / len(labels)
        return float(logit_log_losses(blended, labels).mean()), gradient

    start = np.full(len(logits), 1.0)
    bounds = [(0.0, LARGEST_WEIGHT)] * len(logits)
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights[weights < SMALLEST_SHARE * weights.max()] = 0.0
    return np.asarray(weights / spreads)


def blend_gain(logits: Floats, labels: Labels, folds: Labels, groups: Labels) -> BlendGain:
    """Score a blend, its runs, and the blends without each run; all cross-fitted.

    Args:
        logits: (runs, images, classes).
        labels: class numbers (images,).
        folds: fold of each image (images,).
        groups: group number of each image (images,).

    Returns:
        Accuracies with intervals, and paired differences.
    """
    hits = blend_runs(logits, labels, folds).logits.argmax(axis=1) == labels
    single = [one.argmax(axis=1) == labels for one in logits]
    alone = [share_interval(one, groups) for one in single]
    best = int(np.argmax([share.value for share in alone]))
    added = []
    for number in range(len(logits)) if len(logits) > 2 else []:
        others = np.delete(logits, number, axis=0)
        without = blend_runs(others, labels, folds).logits.argmax(axis=1) == labels
        added.append(paired_difference(without, hits, groups))
    return BlendGain(
        alone=alone,
        blend=share_interval(hits, groups),
        best=best,
        gain=paired_difference(single[best], hits, groups),
        added=added,
    )
