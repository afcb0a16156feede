"""LDA head: features and labels -> a linear classification head, without gradient descent.

Fine-tuning then starts from a sound classifier: linear probing first, fine-tuning after (Kumar et
al. 2022, arXiv:2202.10054). The head is a linear discriminant analysis (LDA) with a regularized
covariance (Friedman 1989, doi:10.1080/01621459.1989.10478752). Does not know where the features
come from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from bestiary.stats.vectors import class_sums

# Candidates for the shrinkage of the covariance. With 42 images of each of 42 classes and features
# of EfficientNet-Lite0, out-of-fold accuracy is level from 0.5 to 0.8. Fewer images need more
# shrinkage, more images less.
SHRINKAGES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
DEFAULT_SHRINKAGE = 0.65
# Candidates for tau-normalization. Images of many kinds need 0.5 to 0.75, rare classes with few
# images 1, and classes that are steps of one scale 0 (a trial on 900 images in six steps of blur).
TAUS = (0.0, 0.25, 0.5, 0.75, 1.0)
# More validation images would cost memory and would not separate the candidates any better.
MAX_VAL_IMAGES = 20_000
# Bias of a class without training images, relative to the lowest bias of the others.
UNSEEN_CLASS_BIAS = -20.0

Counts = NDArray[np.int64] | NDArray[np.float64]
Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights (classes, features) and biases (classes,) of a linear layer."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Statistics of features that an LDA is computed from.

    Attributes:
        counts: images of each class, (classes,); shares of images count too.
        means: mean feature vector of each class, (classes, features).
        covariance: within-class covariance, (features, features).
        dimensions: number of features that the network has; more than `features` where these are
            coordinates in the span of the images, see `bestiary.training.span`.
    """

    counts: Counts
    means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    dimensions: int

    @classmethod
    def of(
        cls,
        features: NDArray[np.floating],
        labels: NDArray[np.int64],
        classes: int,
        dimensions: int = 0,
    ) -> Self:
        """Compute the moments of labeled features.

        Args:
            features: (images, features).
            labels: class numbers (images,).
            classes: number of classes.
            dimensions: see the attribute; 0: as many as there are features.
        """
        n_features = features.shape[1]
        counts = np.bincount(labels, minlength=classes)
        means = class_sums(features, labels, classes) / np.maximum(counts, 1)[:, None]

        residuals = features - means[labels].astype(features.dtype)
        products = residuals.T @ residuals
        covariance = products.astype(np.float64) / len(labels)
        return cls(counts, means, covariance, dimensions or n_features)

    def without(
        self,
        features: NDArray[np.floating],
        labels: NDArray[np.int64],
        kept: NDArray[np.int64],
    ) -> Self:
        """Leave classes out, at the cost of their own images.

        Args:
            features: of all images of the left-out classes, (images, features).
            labels: their class numbers (images,).
            kept: numbers of the other classes, (kept,).

        Returns:
            What `of` computes from the images of the other classes, (kept, features) and so on.
        """
        residuals = features - self.means[labels].astype(features.dtype)
        products = self.covariance * self.counts.sum() - residuals.T @ residuals
        return replace(
            self,
            counts=self.counts[kept],
            means=self.means[kept],
            covariance=products / max(self.counts[kept].sum(), 1),
        )


@dataclass(frozen=True, slots=True)
class LdaParams:
    """Hyperparameters of an LDA head.

    Attributes:
        shrinkage: share of the covariance that is replaced by a multiple of the identity, 0 to 1.
        tau: strength of tau-normalization, 0 to 1; see `lda_layer`.
        logit_scale: factor of the logits, an inverse temperature.
    """

    shrinkage: float
    tau: float = 0.0
    logit_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class _Directions:
    """Whitened means of the classes that have images.

    Computing them is the expensive part of an LDA. Every tau shares them.

    Attributes:
        counts: images of each class, (classes,).
        center: mean of the class means, (features,).
        weights: centered class means, multiplied by the inverse covariance, (classes, features).
        squares: squared Mahalanobis lengths of the centered means, (classes,).
    """

    counts: Counts
    center: NDArray[np.float64]
    weights: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, moments: Moments, shrinkage: float) -> Self:
        # Shrink the covariance. The small constant lets the factorization succeed if a feature
        # never varies.
        total_variance = float(np.trace(moments.covariance))
        mean_variance = total_variance / moments.dimensions
        covariance = moments.covariance * (1 - shrinkage)
        diagonal = np.diag_indices_from(covariance)
        covariance[diagonal] += shrinkage * mean_variance + 1e-9

        # Center the class means, and multiply them by the inverse covariance.
        has_images = moments.counts > 0
        class_means = moments.means[has_images]
        center = class_means.mean(axis=0)
        means = class_means - center
        # Not scipy's Cholesky: numpy and scipy each bring threads of their own, which wait for each
        # other on the same cores. A product and then this are up to nine times as fast in one.
        weights = np.asarray(np.linalg.solve(covariance, means.T).T)
        squares = (weights * means).sum(axis=1)
        return cls(
            counts=moments.counts[has_images],
            center=center,
            weights=weights,
            squares=squares,
        )

    def scales(self, tau: float) -> NDArray[np.float64]:
        """Factor of each class mean, (classes,): its relative length to the power of -tau."""
        mean_square = self.squares.mean()
        ratios = mean_square / np.maximum(self.squares, 1e-300)
        scales = ratios ** (tau / 2)
        return np.where(self.squares > 0, scales, 1.0)

    def biases(self, tau: float, adjustment: float = 0.0) -> NDArray[np.float64]:
        """Bias of each class, (classes,), for features relative to the center."""
        priors = self.counts / self.counts.sum()
        log_priors = (1 - adjustment) * np.log(priors)
        half_squares = 0.5 * self.scales(tau) ** 2 * self.squares
        return np.asarray(log_priors - half_squares)


def lda_layer(moments: Moments, params: LdaParams, adjustment: float = 0.0) -> Layer:
    """Compute the linear layer of an LDA with shrunk covariance and tau-normalized means.

    With ``tau=0`` it equals scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr")``. The fewer
    images a class has, the longer its mean comes out, and the less often the class is predicted.
    So each mean is divided by its Mahalanobis length to the power of tau (tau-normalization: Kang
    et al. 2020, arXiv:1910.09217). Means of equal length are also what a fully trained network
    arrives at (neural collapse: Papyan et al. 2020, doi:10.1073/pnas.2015509117).

    Args:
        moments: of the training part.
        params: shrinkage, tau and logit scale.
        adjustment: 0 takes the class frequencies as priors, 1 equal priors; see
            `bestiary.training.loss`.

    Returns:
        Weights and biases. With ``logit_scale=1`` the logits are log posteriors up to a constant.
        A class without images gets the bias minus infinity.
    """
    has_images = moments.counts > 0
    directions = _Directions.of(moments, params.shrinkage)
    scales = directions.scales(params.tau)
    class_weights = directions.weights * scales[:, None]
    class_biases = directions.biases(params.tau, adjustment)
    class_biases = class_biases - class_weights @ directions.center

    # Softmax ignores the mean over classes. Without it bf16 keeps more digits.
    class_weights = class_weights - class_weights.mean(axis=0)
    class_biases = class_biases - class_biases.mean()

    # Classes without images are never predicted.
    weights = np.zeros(moments.means.shape)
    biases = np.full(len(has_images), -np.inf)
    weights[has_images] = params.logit_scale * class_weights
    biases[has_images] = params.logit_scale * class_biases
    return weights, biases


def tune_lda(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    head_tau_norm: bool = False,
) -> LdaParams:
    """Choose the hyperparameters of an LDA by the log loss on a validation split.

    The logit scale corrects the confidence: with more features than images an LDA is far too sure
    of itself (temperature scaling: Guo et al. 2017, arXiv:1706.04599).

    Args:
        features: of the training part, (images, features).
        labels: class numbers (images,).
        classes: number of classes.
        head_tau_norm: whether to choose tau too; else it is 0.
    """
    is_val = _validation_split(len(labels))
    train_labels = labels[~is_val]
    has_images = np.isin(np.arange(classes), train_labels)
    # Validation images of classes without training images cannot be right, so they say nothing.
    is_scored = is_val & has_images[labels]
    if not is_scored.any() or has_images.sum() < 2:
        return LdaParams(DEFAULT_SHRINKAGE)

    # Fit to the training split; validation labels count the classes with images only.
    moments = Moments.of(features[~is_val], train_labels, classes)
    class_index = np.cumsum(has_images) - 1
    val_features = features[is_scored]
    val_labels = class_index[labels[is_scored]]
    taus = TAUS if head_tau_norm else TAUS[:1]

    # Search the shrinkage; for each one, tau and the logit scale follow.
    @cache
    def best_at(index: int) -> tuple[float, LdaParams]:
        return _tune_tau(
            moments,
            SHRINKAGES[index],
            taus,
            val_features,
            val_labels,
        )

    def log_loss_at(index: int) -> float:
        loss, _ = best_at(index)
        return loss

    best_index = descend(log_loss_at, len(SHRINKAGES))
    _, params = best_at(best_index)
    return params


def _validation_split(images: int) -> NDArray[np.bool_]:
    """Choose every fifth image, (images,), or fewer if there are very many."""
    stride = max(5, images // MAX_VAL_IMAGES)
    positions = np.arange(images)
    is_val: NDArray[np.bool_] = positions % stride == 0
    return is_val


def descend(loss: Callable[[int], float], count: int) -> int:
    """Walk downhill from the middle of the indices 0 to `count` - 1 to a local minimum.

    The loss falls, then rises with the shrinkage. Each evaluation costs a factorization.

    Args:
        loss: of an index; it is called several times for the same one.
        count: number of indices.
    """
    best = count // 2
    previous = -1
    while best != previous:
        previous = best
        neighbors = (best, best - 1, best + 1)
        valid = [index for index in neighbors if 0 <= index < count]
        best = min(valid, key=loss)
    return best


def _tune_tau(
    moments: Moments,
    shrinkage: float,
    taus: Sequence[float],
    val_features: NDArray[np.float32],
    val_labels: NDArray[np.int64],
) -> tuple[float, LdaParams]:
    """Find the lowest log loss for one shrinkage, and its hyperparameters."""
    directions = _Directions.of(moments, shrinkage)
    projections = (val_features - directions.center) @ directions.weights.T
    results = []
    for tau in taus:
        scales = directions.scales(tau)
        logits = projections * scales + directions.biases(tau)
        loss, logit_scale = fit_logit_scale(logits, val_labels)
        params = LdaParams(shrinkage, tau, logit_scale)
        results.append((loss, params))
    return min(results, key=itemgetter(0))


def fit_logit_scale(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> tuple[float, float]:
    """Find the lowest log loss that scaling logits can reach.

    If every image is right, the best scale would be infinite. So each label is smoothed by the
    chance that one more image is wrong (Platt 1999, "Probabilistic outputs for support vector
    machines").

    Args:
        logits: (images, classes).
        labels: class numbers (images,).

    Returns:
        The log loss, and the scale.
    """
    images, classes = logits.shape
    rows = np.arange(images)
    smoothing = 1 / (images + 2)

    def log_loss(log_scale: float) -> float:
        scaled = logits * math.exp(log_scale)
        log_p = log_softmax(scaled, axis=1)
        label_log_p = log_p[rows, labels]
        other_log_p = (log_p.sum(axis=1) - label_log_p) / (classes - 1)
        smoothed = (1 - smoothing) * label_log_p + smoothing * other_log_p
        return float(-smoothed.mean())

    minimum = minimize_scalar(log_loss, bounds=(-6.0, 2.0), method="bounded")
    logit_scale = math.exp(minimum.x)
    return float(minimum.fun), logit_scale


def fit_lda(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    adjustment: float = 0.0,
    head_tau_norm: bool = False,
) -> Layer:
    """Tune an LDA on the training part, then fit it to all of it.

    Args:
        features: input of the last layer for each image's evaluation view, (images, features).
        labels: class numbers (images,).
        classes: number of classes.
        adjustment: strength of logit adjustment; from 1 on, all classes have equal priors.
        head_tau_norm: whether tau-normalization is tuned too.

    Returns:
        Weights and biases, all finite.
    """
    params = tune_lda(features, labels, classes, head_tau_norm)
    moments = Moments.of(features, labels, classes)
    weights, biases = lda_layer(moments, params, min(1.0, adjustment))
    return weights, finite(biases)


def finite(biases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give classes without training images a finite bias, with which they are hardly predicted.

    Args:
        biases: (classes,), minus infinity for these classes.
    """
    finite_biases = biases[np.isfinite(biases)]
    lowest = finite_biases.min() + UNSEEN_CLASS_BIAS
    return np.asarray(np.maximum(biases, lowest))
