"""Frozen features -> the last layer's start: a linear discriminant, so that fine-tuning begins from
a sound classifier.

Linear probe first, fine-tuning after: Kumar et al. 2022, arXiv:2202.10054. Discriminant analysis
with a regularized covariance: Friedman 1989, doi:10.1080/01621459.1989.10478752.
"""

import math
from dataclasses import dataclass
from operator import itemgetter
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch.nn import functional

from bestiary.model.classifier import Classifier

# Shares of the covariance that may be made the same in all directions. Out-of-fold accuracy of five
# folds of 42 classes with 42 images each, features of EfficientNet-Lite0, is level between 0.5 and
# 0.8; few images want more, many less.
SHRINKAGES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
# How far the classes' means may be made equally long. Images of many kinds want 0.5 to 0.75, few
# images of rare classes 1, classes that are steps of one scale 0 (benchmarks/accuracy.md).
TAUS = (0.0, 0.25, 0.5, 0.75, 1.0)
HELD_MOST = (
    20_000  # images that judge a shape: more would not tell shapes better apart, and cost memory
)
UNSEEN = (
    -20.0
)  # bias, below the least of the others, of a class that the training part has no image of
Layer = tuple[
    NDArray[np.float64], NDArray[np.float64]
]  # weights (classes, features) and biases (classes,)


@dataclass(frozen=True, slots=True)
class Moments:
    """What a discriminant needs to know of features.

    Attributes:
        counts: images of each class, (classes,).
        means: of each class, (classes, features).
        covariance: within the classes, (features, features).
    """

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Self:
        """Of features (images, features) and their class numbers (images,)."""
        counts = np.bincount(labels, minlength=classes)
        sums = np.zeros((classes, features.shape[1]))
        np.add.at(sums, labels, features)
        means = sums / np.maximum(counts, 1)[:, None]
        within = features - means[labels].astype(np.float32)
        return cls(counts, means, (within.T @ within).astype(np.float64) / len(labels))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a discriminant's logits depend on besides the moments.

    Attributes:
        shrinkage: share of the covariance that is made the same in all directions, 0 to 1.
        tau: how far the means of the classes are made equally long, 0 to 1; see `discriminant`.
        factor: what the logits are multiplied by.
    """

    shrinkage: float
    tau: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class _Directions:
    """The means of the classes that have images, as a discriminant sees them; everything else of it
    is cheap.

    Attributes:
        counts: images of each class, (classes,).
        center: of all means, (features,).
        weights: the means from the center, in units of the covariance, (classes, features).
        squares: of the means' lengths in those units, (classes,).
    """

    counts: NDArray[np.int64]
    center: NDArray[np.float64]
    weights: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, moments: Moments, shrinkage: float) -> Self:
        seen = moments.counts > 0
        spread = float(np.trace(moments.covariance)) / len(moments.covariance)
        covariance = moments.covariance * (1 - shrinkage)
        # The tiny share keeps features that never vary from making the factorization fail.
        covariance[np.diag_indices_from(covariance)] += shrinkage * spread + 1e-9
        center = moments.means[seen].mean(axis=0)
        means = moments.means[seen] - center
        weights = np.asarray(cho_solve(cho_factor(covariance), means.T).T)
        return cls(moments.counts[seen], center, weights, (weights * means).sum(axis=1))

    def scales(self, tau: float) -> NDArray[np.float64]:
        """What the mean of each class (classes,) is multiplied by: 1 over its length to the
        power of `tau`.
        """
        typical = self.squares.mean()
        return np.where(
            self.squares > 0, (typical / np.maximum(self.squares, 1e-300)) ** (tau / 2), 1.0
        )

    def biases(self, tau: float, adjustment: float = 0.0) -> NDArray[np.float64]:
        """Of each class (classes,), for features that are counted from the center."""
        priors = (1 - adjustment) * np.log(self.counts / self.counts.sum())
        return np.asarray(priors - 0.5 * self.scales(tau) ** 2 * self.squares)


def discriminant(moments: Moments, shape: Shape, adjustment: float = 0.0) -> Layer:
    """Linear discriminant analysis with shrunk covariance and means of more equal lengths.

    With ``tau=0`` it is scikit-learn's ``solver="lsqr"`` in one factorization. The length of a
    class's mean, from the center of all means and in units of the covariance, says as little of
    images to come as of the class: the fewer images it is the mean of, the longer it comes out, and
    the less its class is predicted. Each is divided by its length to the power of tau
    (tau-normalization: Kang et al. 2020, arXiv:1910.09217; that means end up equally long where a
    network has fitted its classes: Papyan et al. 2020, doi:10.1073/pnas.2015509117).

    Args:
        moments: of the training part; classes without an image get the bias minus infinity.
        shape: of the logits.
        adjustment: how far the classes are taken to be equally frequent, 0 to 1; see
            `bestiary.training.loss`.

    Returns:
        weights and biases whose logits are log posteriors but for a constant, where the factor is
        1.
    """
    seen, directions = moments.counts > 0, _Directions.of(moments, shape.shrinkage)
    rows = directions.weights * directions.scales(shape.tau)[:, None]
    offsets = directions.biases(shape.tau, adjustment) - rows @ directions.center
    weights, biases = np.zeros(moments.means.shape), np.full(len(seen), -np.inf)
    # What all classes share decides nothing, and would cost digits in bf16.
    weights[seen] = shape.factor * (rows - rows.mean(axis=0))
    biases[seen] = shape.factor * (offsets - offsets.mean())
    return weights, biases


def choose_shape(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    head_tau_norm: bool = False,
) -> Shape:
    """The shape that makes the log loss least on images kept apart.

    With more features than images a discriminant is far too sure of itself; the factor makes its
    logits log posteriors of images that it has not seen (Guo et al. 2017, arXiv:1706.04599). Every
    fifth image, of very many fewer, is judged by a discriminant of the others.

    Args:
        features: (images, features).
        labels: class numbers (images,).
        classes: number of classes.
        tau_normalize: whether tau is chosen too; else it is 0.
    """
    held = np.arange(len(labels)) % max(5, len(labels) // HELD_MOST) == 0
    # Images of classes that the others lack cannot be right and tell nothing.
    seen = np.isin(np.arange(classes), labels[~held])
    judged = held & seen[labels]
    if not judged.any() or seen.sum() < 2:
        return Shape(0.65)
    moments, apart = Moments.of(features[~held], labels[~held], classes), features[judged]
    answers = (np.cumsum(seen) - 1)[labels[judged]]  # numbers among the classes that are seen
    found: dict[int, tuple[float, Shape]] = {}

    def loss(place: int) -> float:
        if place not in found:
            directions, looks = _Directions.of(moments, SHRINKAGES[place]), []
            points = (apart - directions.center) @ directions.weights.T
            for tau in TAUS if head_tau_norm else TAUS[:1]:
                least, factor = _sharpen(
                    points * directions.scales(tau) + directions.biases(tau), answers
                )
                looks.append((least, Shape(SHRINKAGES[place], tau, factor)))
            found[place] = min(looks, key=itemgetter(0))
        return found[place][0]

    # The loss falls, then rises: downhill from the middle, since each look costs a factorization.
    best, before = len(SHRINKAGES) // 2, -1
    while best != before:
        before = best
        best = min((p for p in (best, best - 1, best + 1) if 0 <= p < len(SHRINKAGES)), key=loss)
    return found[best][1]


def _sharpen(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The least log loss that a factor on `logits` (images, classes) can make, and the factor.

    Labels count for as much less than one as a further image might be wrong (Platt 1999,
    "Probabilistic outputs for support vector machines"): where every image is right, the factor
    would else have no bound.
    """
    images, classes = logits.shape
    doubt = 1 / (images + 2)

    def log_loss(exponent: float) -> float:
        logs = log_softmax(logits * math.exp(exponent), axis=1)
        right = logs[np.arange(images), labels]
        others = (logs.sum(axis=1) - right) / (classes - 1)
        return float(-((1 - doubt) * right + doubt * others).mean())

    found = minimize_scalar(log_loss, bounds=(-6.0, 2.0), method="bounded")
    return float(found.fun), math.exp(found.x)


def fitted_layer(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    adjustment: float = 0.0,
    head_tau_norm: bool = False,
) -> Layer:
    """The discriminant of the training part whose shape is chosen inside it.

    Args:
        features: what the last layer weighs for each image's evaluation view, (images, features).
        labels: class numbers (images,).
        classes: number of classes.
        adjustment: how far the classes are taken to be equally frequent; from 1 on wholly.
        tau_normalize: whether the classes' means may be made more equally long.
    """
    shape = choose_shape(features, labels, classes, head_tau_norm)
    weights, biases = discriminant(
        Moments.of(features, labels, classes), shape, min(1.0, adjustment)
    )
    return weights, np.maximum(biases, biases[np.isfinite(biases)].min() + UNSEEN)


def fit_head(
    classifier: Classifier,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    adjustment: float = 0.0,
    head_tau_norm: bool = False,
) -> None:
    """Set the last layer of `classifier` to the `fitted_layer` of the training part; the rest as
    that takes it.
    """
    head = classifier.head_layer
    weights, biases = fitted_layer(features, labels, head.out_features, adjustment, head_tau_norm)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(weights, dtype=head.weight.dtype))
        head.bias.copy_(torch.as_tensor(biases, dtype=head.bias.dtype))


@torch.no_grad()
def head_logits(classifier: Classifier, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (images, classes) that the last layer gives `features` (images, features)."""
    head = classifier.head_layer.cpu()
    return functional.linear(torch.from_numpy(features), head.weight, head.bias).numpy()
