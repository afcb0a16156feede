"""Frozen features -> the last layer's start: a linear discriminant, so that fine-tuning begins from a sound classifier.

Linear probe first, fine-tuning after: Kumar et al. 2022, arXiv:2202.10054. Discriminant analysis with a regularised
covariance: Friedman 1989, doi:10.1080/01621459.1989.10478752.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch.nn import functional

from bestiary.model import Classifier

# Shares of the covariance that may be made the same in all directions. Out-of-fold accuracy of five folds of 42 classes
# with 42 pictures each, features of EfficientNet-Lite0, is level between 0.5 and 0.8; few pictures want more, many
# less.
SHRINKAGES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
UNSEEN = -20.0  # bias, below the least of the others, of a class that the training part has no picture of
Layer = tuple[NDArray[np.float64], NDArray[np.float64]]  # weights (classes, features) and biases (classes,)


@dataclass(frozen=True, slots=True)
class Moments:
    """What a discriminant needs to know of features.

    Attributes:
        counts: pictures of each class, (classes,).
        means: of each class, (classes, features).
        covariance: within the classes, (features, features).
    """

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Self:
        """Of features (pictures, features) and their class numbers (pictures,)."""
        counts = np.bincount(labels, minlength=classes)
        sums = np.zeros((classes, features.shape[1]))
        np.add.at(sums, labels, features)
        means = sums / np.maximum(counts, 1)[:, None]
        within = features - means[labels].astype(np.float32)
        return cls(counts, means, (within.T @ within).astype(np.float64) / len(labels))


def discriminant(moments: Moments, shrinkage: float, adjustment: float = 0.0) -> Layer:
    """Linear discriminant analysis with shrunk covariance, as scikit-learn's ``solver="lsqr"`` in one factorisation.

    Args:
        moments: of the training part; classes without a picture get the bias minus infinity.
        shrinkage: share of the covariance that is made the same in all directions, 0 to 1.
        adjustment: how far the classes are taken to be equally frequent, and equally well known, 0 to 1; see
            `bestiary.train.loss`, and `_unknown`.

    Returns:
        weights and biases whose logits are log posteriors but for a constant.
    """
    counts, means = moments.counts, moments.means
    spread = float(np.trace(moments.covariance)) / len(moments.covariance)
    covariance = moments.covariance * (1 - shrinkage)
    # The tiny share keeps features that never vary from making the factorisation fail.
    covariance[np.diag_indices_from(covariance)] += shrinkage * spread + 1e-9
    factor = cho_factor(covariance)
    weights = np.asarray(cho_solve(factor, means.T).T)
    with np.errstate(divide="ignore"):
        priors = np.log(counts / counts.sum())
        biases = np.where(counts > 0, (1 - adjustment) * priors, priors) - 0.5 * (weights * means).sum(axis=1)
    if adjustment:
        biases += adjustment * _unknown(moments, factor)
    # What all classes share decides nothing, and would cost digits in bf16.
    weights -= weights[counts > 0].mean(axis=0)
    biases -= biases[counts > 0].mean()
    weights[counts == 0] = 0.0
    return weights, biases


def _unknown(moments: Moments, factor: Any) -> NDArray[np.float64]:
    """What the logits of each class (classes,) are too low by, since its mean is the mean of few pictures.

    The square of an estimated mean is larger than that of the true one, by the trace over the number of pictures: a
    rare class is missed for that alone (Moran and Murphy 1979, Applied Statistics 28:223; with many features Huang,
    Tong and Zhao 2010, doi:10.1111/j.1541-0420.2010.01395.x).
    """
    trace = float(np.trace(cho_solve(factor, moments.covariance)))
    return 0.5 * trace / np.maximum(moments.counts, 1)


def choose_shrinkage(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> tuple[float, float]:
    """The shrinkage, and what to multiply its logits by, that make the log loss least on pictures kept apart.

    With more features than pictures a discriminant is far too sure of itself; the factor makes its logits log
    posteriors of pictures that it has not seen (Guo et al. 2017, arXiv:1706.04599). Every fifth picture is judged by a
    discriminant of the others.

    Returns:
        shrinkage, and the factor.
    """
    held = np.arange(len(labels)) % 5 == 0
    # Pictures of classes that the others lack cannot be right and tell nothing.
    judged = held & np.isin(labels, labels[~held])
    if not judged.any():
        return 0.65, 1.0
    moments = Moments.of(features[~held], labels[~held], classes)
    losses: dict[int, tuple[float, float]] = {}

    def loss(place: int) -> float:
        if place not in losses:
            weights, biases = discriminant(moments, SHRINKAGES[place])
            losses[place] = _sharpen(features[judged] @ weights.T + biases, labels[judged])
        return losses[place][0]

    # The loss falls, then rises: downhill from the middle, since each look costs a factorisation.
    best, before = len(SHRINKAGES) // 2, -1
    while best != before:
        before = best
        best = min((p for p in (best, best - 1, best + 1) if 0 <= p < len(SHRINKAGES)), key=loss)
    return SHRINKAGES[best], losses[best][1]


def _sharpen(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The least log loss that a factor on `logits` (pictures, classes) can make, and the factor."""

    def log_loss(exponent: float) -> float:
        return float(-log_softmax(logits * math.exp(exponent), axis=1)[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(log_loss, bounds=(-6.0, 2.0), method="bounded")
    return float(found.fun), math.exp(found.x)


def fitted_layer(
    features: NDArray[np.float32], labels: NDArray[np.int64], classes: int, adjustment: float = 0.0
) -> Layer:
    """The discriminant of the training part whose shrinkage and factor are chosen inside it.

    Args:
        features: what the last layer weighs for each picture's evaluation view, (pictures, features).
        labels: class numbers (pictures,).
        classes: number of classes.
        adjustment: how far the classes are taken to be equally frequent; from 1 on wholly.
    """
    shrinkage, factor = choose_shrinkage(features, labels, classes)
    weights, biases = discriminant(Moments.of(features, labels, classes), shrinkage, min(1.0, adjustment))
    weights, biases = weights * factor, biases * factor
    return weights, np.maximum(biases, biases[np.isfinite(biases)].min() + UNSEEN)


def fit_head(
    classifier: Classifier, features: NDArray[np.float32], labels: NDArray[np.int64], adjustment: float = 0.0
) -> None:
    """Set the last layer of `classifier` to the `fitted_layer` of the training part; the rest as that takes it."""
    head = classifier.head_layer
    weights, biases = fitted_layer(features, labels, head.out_features, adjustment)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(weights, dtype=head.weight.dtype))
        head.bias.copy_(torch.as_tensor(biases, dtype=head.bias.dtype))


@torch.no_grad()
def head_logits(classifier: Classifier, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (pictures, classes) that the last layer gives `features` (pictures, features)."""
    head = classifier.head_layer.cpu()
    return functional.linear(torch.from_numpy(features), head.weight, head.bias).numpy()
