"""Self-training: a fitted head and unlabeled images -> a better head, by soft pseudo-labels.

The head says how probable each class is for each unlabeled image. A discriminant takes its place,
whose moments count the image for every class by that probability, and so on, three times over
(expectation and maximization: Nigam et al. 2000, doi:10.1023/A:1007692713085). The labeled images
keep their labels. Only the head of a fold's training part guesses, so what the fold holds out takes
no part. Does not know where the features come from.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from bestiary.training.lda_head import Layer, LdaParams, Moments, finite, lda_layer

ROUNDS = 3
# With many unlabeled images there is no need to search: accuracy is level around these values.
SHRINKAGE = 0.65
TAU = 0.75

Features = NDArray[np.float32]
Floats = NDArray[np.float64]


def self_train(
    start: Layer,
    features: Features,
    labels: NDArray[np.int64],
    unlabeled: Features,
    adjustment: float = 0.0,
    head_tau_norm: bool = False,
) -> Layer:
    """Train a head on labeled images and on its own guesses for unlabeled ones.

    Args:
        start: head that was fitted to the labeled images, with calibrated logits.
        features: of the labeled images, (images, features).
        labels: their class numbers (images,).
        unlabeled: features of the unlabeled images, (unlabeled, features), at least one.
        adjustment: strength of logit adjustment; from 1 on, all classes have equal priors.
        head_tau_norm: whether class means are tau-normalized.

    Returns:
        Weights and biases, all finite. Their logits are as sure as those of `start` are.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(6) % 2
        >>> features, unlabeled = (
        ...     (rng.normal(size=(len(of), 4)) + 3 * of[:, None]).astype(np.float32)
        ...     for of in (labels, np.arange(100) % 2)
        ... )
        >>> from bestiary.training.lda_head import fit_lda
        >>> weights, biases = self_train(fit_lda(features, labels, 2), features, labels, unlabeled)
        >>> weights.shape
        (2, 4)
    """
    classes = len(start[1])
    everything = np.concatenate([features, unlabeled]).astype(np.float64)
    known = np.eye(classes)[labels]
    params = LdaParams(SHRINKAGE, TAU if head_tau_norm else 0.0)
    margin = _margin(start, unlabeled)
    layer = start
    for _ in range(ROUNDS):
        guessed = softmax(_logits(layer, unlabeled), axis=1)
        moments = soft_moments(everything, np.concatenate([known, guessed]))
        weights, biases = lda_layer(moments, params, min(1.0, adjustment))

        # A discriminant is far too sure of itself, and moments know nothing of calibration.
        fitted = weights, finite(biases)
        scale = margin / max(_margin(fitted, unlabeled), 1e-9)
        layer = scale * fitted[0], scale * fitted[1]
    return layer


def soft_moments(features: Floats, shares: Floats) -> Moments:
    """Compute the moments of images that count for each class by a share.

    Args:
        features: (images, features).
        shares: (images, classes), each row of sum 1.

    Returns:
        The moments; with shares of 0 and 1, those of `Moments.of`.
    """
    counts = shares.sum(axis=0)
    means = shares.T @ features / np.maximum(counts, 1e-9)[:, None]
    within = features.T @ features - (means * counts[:, None]).T @ means
    return Moments(counts, means, within / len(features), features.shape[1])


def _logits(layer: Layer, features: Features) -> Floats:
    weights, biases = layer
    return np.asarray(features @ weights.T + biases)


def _margin(layer: Layer, features: Features) -> float:
    """Median difference of the two largest logits."""
    largest = np.sort(_logits(layer, features), axis=1)[:, -2:]
    return float(np.median(largest[:, 1] - largest[:, 0]))
