"""Out-of-fold probabilities -> for each class, the least confidence that keeps a promise.

A class's promise: of the images that are given its label with at least that confidence, the share
that was asked for is right. It is tested as learn-then-test does (Angelopoulos et al. 2021,
arXiv:2110.01052), by exact limits, so it holds with 95 % certainty however few images there are.
Where there are too few, nothing is promised. Pure functions of arrays.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.calibration import NEVER, THRESHOLD_STEPS, TWO_ERRORS_LIMIT, upper_risk

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassPromises:
    """What can be promised of each class's label, each with 95 % certainty.

    Attributes:
        precision: least share of right labels, as asked for, 0 to 1.
        thresholds: least confidence (classes,), 0 to 1; 2 where nothing can be promised.
        labeled: out-of-fold images that have the class's label (classes,).
        reached: of these, images that reach the threshold (classes,).
    """

    precision: float
    thresholds: Floats
    labeled: Integers
    reached: Integers

    @classmethod
    def fit(
        cls,
        probabilities: Floats,
        labels: Integers,
        groups: Integers,
        precision: float,
    ) -> Self:
        """Learn the thresholds from out-of-fold predictions.

        Args:
            probabilities: calibrated (images, classes), each image's from the member that was not
                trained on it.
            labels: class numbers (images,).
            groups: group number of each image (images,).
            precision: least share of right labels, above 0 and below 1.

        Returns:
            The thresholds and the numbers of images behind them.

        Example:
            >>> labels = np.repeat([0, 1], [90, 10])
            >>> probabilities = np.eye(2)[labels] * 0.9 + 0.05
            >>> promises = ClassPromises.fit(probabilities, labels, np.arange(100), 0.95)
            >>> promises.thresholds.round(2).tolist(), promises.can_promise.tolist()
            ([0.95, 2.0], [True, False])
        """
        predicted = probabilities.argmax(axis=1)
        confidence = probabilities.max(axis=1)
        is_right = predicted == labels
        n_classes = probabilities.shape[1]
        thresholds = np.full(n_classes, NEVER)
        labeled = np.zeros(n_classes, np.int64)
        reached = np.zeros(n_classes, np.int64)
        for number in range(n_classes):
            own = predicted == number
            thresholds[number] = promised_threshold(
                confidence[own], is_right[own], groups[own], 1 - precision
            )
            labeled[number] = int(own.sum())
            reached[number] = int((confidence[own] >= thresholds[number]).sum())
        return cls(precision, thresholds, labeled, reached)

    @property
    def can_promise(self) -> Flags:
        """Which classes have a threshold (classes,)."""
        return np.asarray(self.thresholds < NEVER)

    @property
    def least_images(self) -> int:
        """Images without an error that a promise takes, near duplicates counted once."""
        return least_images(1 - self.precision)

    def keeps(self, probabilities: Floats) -> Flags:
        """Tell which labels keep the promise of their class.

        Args:
            probabilities: calibrated (images, classes).

        Returns:
            Flags (images,).
        """
        limits = self.thresholds[probabilities.argmax(axis=1)]
        return np.asarray(probabilities.max(axis=1) >= limits)


def least_images(risk: float) -> int:
    """Count the images without an error that show, with 95 % certainty, at most a share of errors.

    Args:
        risk: largest share of errors, above 0 and below 1.

    Returns:
        The number of images.

    Example:
        >>> least_images(0.05), least_images(0.1)
        (59, 29)
    """
    return math.ceil(math.log(0.05) / math.log(1 - risk))


def promised_threshold(confidence: Floats, hits: Flags, groups: Integers, risk: float) -> float:
    """Find the least confidence above which at most a share `risk` is wrong, with 95 % certainty.

    As `bestiary.stats.calibration.accepted_threshold`, but a group counts as one image: as many
    images as there are groups, with the share of errors of all.

    Args:
        confidence: of the predicted class (images,).
        hits: whether the prediction is right (images,).
        groups: group number of each image (images,).
        risk: largest share of errors, above 0 and below 1.

    Returns:
        The threshold, 0 to 1; 2 where no confidence is enough.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    errors = np.cumsum(~hits[order])
    n_groups = _distinct_so_far(groups[order])
    most = int(n_groups[-1]) if len(n_groups) else 0
    least = least_images(risk)
    if most < least:
        return NEVER

    # Where to start, and how to go on, depends on the confidences alone: so the steps are tests in
    # a fixed sequence, and none of them needs a correction for the others.
    with_two_errors = math.ceil(TWO_ERRORS_LIMIT / risk)
    start = with_two_errors if with_two_errors <= most else least
    threshold = NEVER
    for size in np.unique(np.linspace(start, most, THRESHOLD_STEPS).astype(np.int64)):
        last = int(np.searchsorted(n_groups, size, side="right")) - 1  # all images of `size` groups
        last = int(np.searchsorted(-falling, -falling[last], side="right")) - 1  # and of ties
        wrong_groups = float(errors[last] / (last + 1) * n_groups[last])
        if upper_risk(wrong_groups, int(n_groups[last])) > risk:
            break
        threshold = float(falling[last])
    return threshold


def _distinct_so_far(groups: Integers) -> Integers:
    """Count, at each image, the different groups up to it (images,)."""
    is_first = np.zeros(len(groups), np.int64)
    is_first[np.unique(groups, return_index=True)[1]] = 1
    return np.cumsum(is_first)
