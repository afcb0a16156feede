"""Probabilities and labels -> the field's scores: pure functions, each of arrays.

Tested against scikit-learn. Knows nothing of intervals, runs or networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

BINS = 15  # of the reliability diagram and of ECE, as Guo et al. 2017 have it
# probabilities below this count as this in log loss, so that one image cannot make it infinite
LEAST = 1e-15


def top_k_hits(probabilities: Floats, labels: Labels, k: int) -> NDArray[np.bool_]:
    """Whether each label is among the `k` most probable classes, (images,).

    Args:
        probabilities: (images, classes); logits do as well.
        labels: class numbers (images,).
        k: 1 or more; of equal probabilities, the earlier class comes first.
    """
    own = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return np.asarray(((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1) < k)


def log_losses(probabilities: Floats, labels: Labels) -> Floats:
    """Minus the log of each label's probability, (images,), 0 to 34.5."""
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LEAST)))


def brier_scores(probabilities: Floats, labels: Labels) -> Floats:
    """Squared distance of each row of probabilities from its label's, (images,), 0 to 2.

    Over all classes, as Brier 1950 has it (doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
    """
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * own + 1)


def confusion(predicted: Labels, labels: Labels, classes: int) -> NDArray[np.int64]:
    """How many images of each class (row) were taken for each (column), (classes, classes)."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(
        classes, classes
    )


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of each class, each (classes,), 0 to 1; a class without images, or never predicted,
    has 0 there.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: NDArray[np.int64]


def class_scores(counts: NDArray[np.int64]) -> ClassScores:
    """Precision, recall, F1 and support of each class of a confusion matrix."""
    hits, support, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return ClassScores(
        _share(hits, predicted),
        _share(hits, support),
        _share(2 * hits, support + predicted),
        support,
    )


def balanced_accuracy(hits: Floats, support: Floats) -> Floats:
    """Mean recall of the classes that have images; counts (..., classes) -> (...)."""
    return np.asarray(_share(hits, support).sum(axis=-1) / (support > 0).sum(axis=-1))


def macro_f1(hits: Floats, support: Floats, predicted: Floats) -> Floats:
    """Mean F1 of the classes that have images or were predicted; counts (..., classes) -> (...)."""
    either = support + predicted
    return np.asarray(_share(2 * hits, either).sum(axis=-1) / (either > 0).sum(axis=-1))


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram: bins of as many images each, by rising confidence; each (bins,)."""

    confidence: Floats  # mean of the bin
    accuracy: Floats  # share of hits in the bin
    images: NDArray[np.int64]

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1: how far confidence and accuracy differ, on
        average.
        """
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.images))


def reliability(confidence: Floats, hits: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """The reliability diagram with adaptive bins (Nixon et al. 2019, arXiv:1904.01685, there for
    all classes).

    Args:
        confidence: probability of the class that was chosen (images,).
        hits: whether it was right (images,).
        bins: number of bins; fewer where there are fewer images.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return Reliability(
        np.array([confidence[part].mean() for part in parts]),
        np.array([hits[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def _share(part: NDArray[np.number], whole: NDArray[np.number]) -> Floats:
    return np.asarray(
        np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)
    )
