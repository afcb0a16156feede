"""Out-of-fold logits -> out-of-distribution detector: energy, Mahalanobis distance, thresholds.

Energy is minus the log-sum-exp of the logits (Liu et al. 2020, arXiv:2010.03759). Distance is the
Mahalanobis distance to the nearest class mean (Lee et al. 2018, arXiv:1807.03888), here in the
space of logits: the part of the feature space that the last layer uses. That takes a few numbers
instead of thousands, and no second pass of the network.

Each member's logits are first divided by their standard deviation, since one member may be twice as
confident as another. A weighted sum of both scores decides what is unknown: energy alone, distance
alone or both, each divided by its spread. Which one separates better depends on the classes
(docs/benchmarks/honesty.md), so a run chooses, see `bestiary.evaluation.left_out_classes`; energy
is the rule. Knows nothing of networks, runs or files.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bestiary.stats.calibration import conformal_quantile
from bestiary.stats.vectors import class_sums

Floats = NDArray[np.float64]
OodScore = Literal["energy", "distance", "both"]
KNOWN_SHARE = 0.95  # share of in-distribution images that are not called unknown
# Share of the covariance that is replaced by an isotropic one, so that it can be inverted
SHRINKAGE = 0.1
MIN_SPREAD = 1e-12  # lower limit of a spread that logits are divided by


@dataclass(frozen=True, slots=True)
class OodDetector:
    """The known classes in the space of logits, and limits of what counts as known.

    Attributes:
        scales: standard deviation of each member's logits (members,).
        whitening: (classes, classes), makes the covariance within classes the identity.
        means: whitened mean logits of each class that has images (classes with images, classes).
        limits: energy and distance that `KNOWN_SHARE` of the known images do not exceed, (2,);
            infinite where there are too few images to say.
        weights: of energy and distance in the score that decides, (2,).
        limit: of that score, that `KNOWN_SHARE` of the known images do not exceed; None: that of
            energy.
    """

    scales: Floats
    whitening: Floats
    means: Floats
    limits: Floats
    weights: Floats = field(default_factory=lambda: np.array([1.0, 0.0]))
    limit: float | None = None

    @property
    def score(self) -> OodScore:
        """The score that decides what is unknown."""
        if not self.weights[1]:
            return "energy"
        return "both" if self.weights[0] else "distance"

    @property
    def deciding_limit(self) -> float:
        """The limit of the score that decides."""
        return float(self.limits[0]) if self.limit is None else self.limit

    @classmethod
    def fit(
        cls,
        logits: NDArray[np.floating],
        labels: NDArray[np.int64],
        folds: NDArray[np.int64],
        parts: NDArray[np.int64] | None = None,
        score: OodScore = "energy",
    ) -> Self:
        """Fit the detector to out-of-fold predictions.

        For the limits, the distances of each part come from the classes of the other parts.

        Args:
            logits: (images, classes), each image's from the member that was not trained on it.
            labels: class numbers (images,).
            folds: fold of each image (images,).
            parts: cross-fitting part of each image (images,); None: the folds.
            score: that decides what is unknown.

        Returns:
            The detector.
        """
        scales, members = _member_scales(logits, folds)
        scaled = logits / scales[members][:, None]

        # Limits of both scores, on images that the classes were not fitted to
        known = crossfit_scores(logits, labels, folds, folds if parts is None else parts)
        limits = [conformal_quantile(column, KNOWN_SHARE, most=math.inf) for column in known.T]
        weights = score_weights(known)[score]
        deciding = conformal_quantile(known @ weights, KNOWN_SHARE, most=math.inf)

        whitening, means = _fit_classes(scaled, labels)
        return cls(
            scales=scales,
            whitening=whitening,
            means=means,
            limits=np.array(limits),
            weights=weights,
            limit=deciding,
        )

    def of_member(self, index: int) -> "OodDetector":
        """Return the detector for the logits of one member alone.

        Args:
            index: of the member.
        """
        return replace(self, scales=self.scales[[index]])

    def scores(self, logits: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Compute how far each image is from the known ones.

        Args:
            logits: (members, images, classes).

        Returns:
            Energies (images,) and distances (images,); higher is less like the known images.
        """
        scaled = logits / self.scales[:, None, None]
        energies = energy(scaled)
        distances = distance(scaled, self.whitening, self.means)
        return energies, distances

    def unlikeness(self, logits: NDArray[np.floating]) -> Floats:
        """Compute the score that decides; where energy alone does, distances take no time.

        Args:
            logits: (members, images, classes).

        Returns:
            Scores (images,); higher is less like the known images.
        """
        if self.score == "energy":
            return energy(logits / self.scales[:, None, None])
        energies, distances = self.scores(logits)
        return np.asarray(self.weights[0] * energies + self.weights[1] * distances)

    def is_unknown(self, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell which images are out of distribution, by the score that decides.

        Args:
            logits: (members, images, classes).

        Returns:
            Flags (images,).
        """
        return np.asarray(self.unlikeness(logits) > self.deciding_limit)


def crossfit_scores(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    parts: NDArray[np.int64],
) -> Floats:
    """Compute both scores of each image, its distance from the classes of the other parts.

    Args:
        logits: (images, classes), each image's from the member that was not trained on it.
        labels: class numbers (images,); -1: of no class, such as one that was left out.
        folds: fold of each image (images,).
        parts: cross-fitting part of each image (images,).

    Returns:
        Energy and distance (images, 2).
    """
    scales, members = _member_scales(logits[labels >= 0], folds[labels >= 0])
    if (labels < 0).any():
        members = np.searchsorted(np.unique(folds[labels >= 0]), folds)
    scaled = logits / scales[members][:, None]
    return np.stack([energy(scaled[None]), _crossfit_distances(scaled, labels, parts)], axis=1)


def score_weights(known: Floats) -> dict[OodScore, Floats]:
    """Give the weights of energy and distance in each score that may decide.

    Args:
        known: energy and distance of known images (images, 2).

    Returns:
        Score -> weights (2,).
    """
    spreads = np.maximum(known.std(axis=0), MIN_SPREAD)
    return {
        "energy": np.array([1.0, 0.0]),
        "distance": np.array([0.0, 1.0]),
        "both": 1 / spreads,
    }


def energy(logits: NDArray[np.floating]) -> Floats:
    """Compute the energy of each image, the mean of the members' energies.

    Energies are averaged, not logits. So the energies of one member's held-out images are on the
    same scale.

    Args:
        logits: (members, images, classes).

    Returns:
        Energies (images,).
    """
    log_sums = logsumexp(logits.astype(np.float64), axis=2)
    return np.asarray(-log_sums.mean(axis=0))


def distance(logits: NDArray[np.floating], whitening: Floats, means: Floats) -> Floats:
    """Compute the distance of each image from the nearest class mean, averaged over the members.

    Args:
        logits: (members, images, classes).
        whitening: (classes, classes).
        means: whitened class means (any, classes).

    Returns:
        Distances (images,).
    """
    distances = []
    for member in logits.astype(np.float64):
        # |x - m|^2 = |x|^2 + |m|^2 - 2 x.m, for every image and class
        whitened = member @ whitening
        squared_norms = (whitened**2).sum(axis=1)[:, None]
        squared_mean_norms = (means**2).sum(axis=1)
        squares = squared_norms + squared_mean_norms - 2 * whitened @ means.T

        nearest = squares.min(axis=1).clip(0)  # rounding may make it negative
        distances.append(np.sqrt(nearest))
    return np.asarray(np.mean(distances, axis=0))


def _member_scales(
    logits: NDArray[np.floating],
    folds: NDArray[np.int64],
) -> tuple[Floats, NDArray[np.int64]]:
    """Compute the standard deviation of each member's logits, and the member of each image."""
    fold_numbers, members = np.unique(folds, return_inverse=True)
    scales = []
    for fold in fold_numbers:
        spread = float(logits[folds == fold].std())
        scales.append(max(spread, MIN_SPREAD))
    return np.array(scales), members


def _crossfit_distances(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    parts: NDArray[np.int64],
) -> Floats:
    """Compute the distance of each image from the classes of the other parts (images,)."""
    distances = np.empty(len(labels))
    for part in np.unique(parts):
        is_val = parts == part
        is_fitted = ~is_val & (labels >= 0)
        whitening, means = _fit_classes(logits[is_fitted], labels[is_fitted])
        distances[is_val] = distance(logits[None, is_val], whitening, means)
    return distances


def _fit_classes(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Fit the whitening (classes, classes) and the whitened means of the present classes."""
    logits64 = logits.astype(np.float64)

    # Mean logits of each class that has images
    present, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = class_sums(logits64, codes, len(present)) / counts[:, None]

    # Covariance within classes, shrunk towards an isotropic one
    residuals = logits64 - means[codes]
    covariance = residuals.T @ residuals / len(labels)
    mean_variance = float(np.trace(covariance)) / len(covariance)
    mean_variance = max(mean_variance, MIN_SPREAD)
    covariance *= 1 - SHRINKAGE
    diagonal = np.diag_indices_from(covariance)
    covariance[diagonal] += SHRINKAGE * mean_variance

    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    whitening = eigenvectors / np.sqrt(eigenvalues)
    return whitening, means @ whitening
