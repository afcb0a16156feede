"""Out-of-fold logits -> how unlike the known images a new one is, and how much is too much.

Two scores. Energy: minus log sum exp of the logits (Liu et al. 2020, arXiv:2010.03759). Distance:
Mahalanobis distance to the nearest class's mean (Lee et al. 2018, arXiv:1807.03888) in the space of
logits, which is the part of the feature space that the last layer looks at: a few numbers instead
of thousands, and no second pass of the network. Both after each member's logits are brought to one
spread, since a member may be twice as emphatic as another. Energy decides: it told unknown species
apart about as well as distance among drawn beasts, and better among photographs (RESULTS.md). Pure
functions of arrays, and the file that keeps them; knows nothing of runs or networks.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bestiary.stats.calibration import conformal_quantile

Floats = NDArray[np.float64]
KEPT = 0.95  # share of known images that are not called unknown
# share of the covariance that is made the same in all directions, so that it can be inverted
SHRINKAGE = 0.1


@dataclass(frozen=True, slots=True)
class OodDetector:
    """Where the known classes lie.

    Attributes:
        scales: spread of each member's logits (members,).
        whitening: (classes, classes), makes the spread around the classes' means the same in all
            directions.
        means: whitened mean logits of each class that has images (classes with images, classes).
        limits: energy, and distance, that `KEPT` of the known images stay at or below, (2,);
            infinite where images are too few to say.
    """

    scales: Floats
    whitening: Floats
    means: Floats
    limits: Floats

    @classmethod
    def fit(
        cls,
        logits: NDArray[np.floating],
        labels: NDArray[np.int64],
        folds: NDArray[np.int64],
        parts: NDArray[np.int64] | None = None,
    ) -> Self:
        """From out-of-fold `logits` (images, classes), `labels` and `folds` (images,).

        For the limits, each fold's images are judged by where the others' lie; where there is one
        fold only, those of each of `parts` (images,).
        """
        numbers, member = np.unique(folds, return_inverse=True)
        scales = np.array([max(float(logits[folds == fold].std()), 1e-12) for fold in numbers])
        even, distances = logits / scales[member][:, None], np.empty(len(labels))
        parts = folds if parts is None else parts
        for part in np.unique(parts):
            held = parts == part
            distances[held] = distance(even[None, held], *_place(even[~held], labels[~held]))
        limits = [
            conformal_quantile(scores, KEPT, most=math.inf)
            for scores in (energy(even[None]), distances)
        ]
        return cls(scales, *_place(even, labels), np.array(limits))

    def scores(self, logits: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Energy and distance of each image, each (images,); `logits` (members, images,
        classes).
        """
        even = logits / self.scales[:, None, None]
        return energy(even), distance(even, self.whitening, self.means)

    def is_unknown(self, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each image's energy is above that of `KEPT` of the known ones (images,)."""
        return np.asarray(self.scores(logits)[0] > self.limits[0])


def energy(logits: NDArray[np.floating]) -> Floats:
    """Energy of each image (images,), the mean of the members' own; `logits` (members, images,
    classes).

    Each member's energy is averaged, not the averaged logits' taken, so that one member's energies
    of the images that it held out are on the same scale.
    """
    return np.asarray(-logsumexp(logits.astype(np.float64), axis=2).mean(axis=0))


def distance(logits: NDArray[np.floating], whitening: Floats, means: Floats) -> Floats:
    """Distance of each image (images,) from the nearest of `means`, averaged over the members.

    Args:
        logits: (members, images, classes).
        whitening: (classes, classes).
        means: whitened (any, classes).
    """
    found = []
    for member in logits.astype(np.float64):
        whitened = member @ whitening
        squares = (
            (whitened**2).sum(axis=1)[:, None] + (means**2).sum(axis=1) - 2 * whitened @ means.T
        )
        found.append(np.sqrt(squares.min(axis=1).clip(0)))
    return np.asarray(np.mean(found, axis=0))


def _place(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The whitening (classes, classes) and the whitened means (classes with images, classes)."""
    wide = logits.astype(np.float64)
    present, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(present), wide.shape[1]))
    np.add.at(means, codes, wide)
    means /= counts[:, None]
    spread = wide - means[codes]
    covariance = spread.T @ spread / len(labels)
    level = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    covariance *= 1 - SHRINKAGE
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE * level
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(values)
    return whitening, means @ whitening
