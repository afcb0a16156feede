"""Probabilities and labels -> metrics: top-k, log loss, Brier, confusion, F1, reliability, ECE.

Pure functions of arrays, tested against scikit-learn. Knows nothing of intervals, runs or networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

BINS = 15  # of the reliability diagram and of ECE, as in Guo et al. 2017 (arXiv:1706.04599)
# Lower limit of a probability in log loss, so that one image cannot make it infinite
MIN_PROBABILITY = 1e-15


def top_k_hits(probabilities: Floats, labels: Labels, k: int) -> NDArray[np.bool_]:
    """Tell whether each label is among the `k` most probable classes.

    Args:
        probabilities: (images, classes); logits work as well.
        labels: class numbers (images,).
        k: 1 or more; of equal probabilities, the earlier class comes first.

    Returns:
        A flag for each image (images,).
    """
    own = _own_probabilities(probabilities, labels)[:, None]
    classes = np.arange(probabilities.shape[1])
    is_earlier = classes < labels[:, None]
    is_tied = probabilities == own
    is_ahead = (probabilities > own) | (is_tied & is_earlier)
    n_ahead = is_ahead.sum(axis=1)
    return np.asarray(n_ahead < k)


def log_losses(probabilities: Floats, labels: Labels) -> Floats:
    """Compute minus the logarithm of each label's probability, (images,), 0 to 34.5."""
    own = _own_probabilities(probabilities, labels)
    clipped = np.maximum(own, MIN_PROBABILITY)
    return np.asarray(-np.log(clipped))


def logit_log_losses(logits: Floats, labels: Labels) -> Floats:
    """Compute the log loss of each image from its logits, (images,), 0 or more, unlimited.

    Args:
        logits: (images, classes).
        labels: class numbers (images,).
    """
    log_probabilities = log_softmax(logits, axis=1)
    return np.asarray(-log_probabilities[np.arange(len(labels)), labels])


def brier_scores(probabilities: Floats, labels: Labels) -> Floats:
    """Compute the Brier score of each image, (images,), 0 to 2.

    It is the squared distance of the probabilities from the label's one-hot vector, over all
    classes (Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
    """
    own = _own_probabilities(probabilities, labels)
    sum_of_squares = (probabilities**2).sum(axis=1)
    return np.asarray(sum_of_squares - 2 * own + 1)


def confusion(predicted: Labels, labels: Labels, classes: int) -> NDArray[np.int64]:
    """Count the images of each class (row) by predicted class (column), (classes, classes)."""
    cells = labels * classes + predicted
    counts = np.bincount(cells, minlength=classes * classes)
    return counts.reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of each class, each array (classes,).

    Attributes:
        precision: 0 to 1; 0 where the class is never predicted.
        recall: 0 to 1; 0 where the class has no images.
        f1: 0 to 1; 0 where both are 0.
        support: number of images.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: NDArray[np.int64]


def class_scores(counts: NDArray[np.int64]) -> ClassScores:
    """Compute precision, recall, F1 and support of each class of a confusion matrix."""
    hits = np.diag(counts)
    support = counts.sum(axis=1)
    predicted = counts.sum(axis=0)

    return ClassScores(
        precision=_share(hits, predicted),
        recall=_share(hits, support),
        f1=_share(2 * hits, support + predicted),
        support=support,
    )


def balanced_accuracy(hits: Floats, support: Floats) -> Floats:
    """Compute the mean recall of the classes that have images.

    Args:
        hits: right images of each class (..., classes).
        support: images of each class (..., classes).

    Returns:
        Balanced accuracies (...), 0 to 1.
    """
    recall = _share(hits, support)
    n_present = (support > 0).sum(axis=-1)
    return np.asarray(recall.sum(axis=-1) / n_present)


def macro_f1(hits: Floats, support: Floats, predicted: Floats) -> Floats:
    """Compute the mean F1 of the classes that have images or are predicted.

    Args:
        hits: right images of each class (..., classes).
        support: images of each class (..., classes).
        predicted: images for which the class is predicted (..., classes).

    Returns:
        Macro F1 scores (...), 0 to 1.
    """
    either = support + predicted
    f1 = _share(2 * hits, either)
    n_present = (either > 0).sum(axis=-1)
    return np.asarray(f1.sum(axis=-1) / n_present)


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram: equally full bins by rising confidence, each array (bins,).

    Attributes:
        confidence: mean confidence of the bin.
        accuracy: share of hits in the bin.
        images: number of images in the bin.
    """

    confidence: Floats
    accuracy: Floats
    images: NDArray[np.int64]

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1: the mean gap of confidence and accuracy."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.average(gaps, weights=self.images))


def reliability(
    confidence: Floats,
    hits: NDArray[np.bool_],
    bins: int = BINS,
) -> Reliability:
    """Compute the reliability diagram with adaptive bins.

    Nixon et al. 2019 (arXiv:1904.01685) bin all classes; here it is the predicted class alone.

    Args:
        confidence: probability of the predicted class (images,).
        hits: whether the prediction is right (images,).
        bins: number of bins; with fewer images, one bin for each image.

    Returns:
        The diagram.
    """
    order = np.argsort(confidence, kind="stable")
    n_bins = min(bins, len(order))
    bin_images = np.array_split(order, n_bins)
    return Reliability(
        confidence=_bin_means(confidence, bin_images),
        accuracy=_bin_means(hits, bin_images),
        images=np.array([len(images) for images in bin_images]),
    )


def _bin_means(
    values: NDArray[np.generic],
    bin_images: Sequence[NDArray[np.int64]],
) -> Floats:
    return np.array([values[images].mean() for images in bin_images])


def _own_probabilities(probabilities: Floats, labels: Labels) -> Floats:
    """Return the probability of each image's label (images,)."""
    images = np.arange(len(labels))
    return np.asarray(probabilities[images, labels])


def _share(part: NDArray[np.number], whole: NDArray[np.number]) -> Floats:
    """Divide, with 0 where `whole` is 0."""
    zeros = np.zeros(np.shape(part))
    is_defined = np.asarray(whole) > 0
    shares = np.divide(part, whole, out=zeros, where=is_defined)
    return np.asarray(shares)
