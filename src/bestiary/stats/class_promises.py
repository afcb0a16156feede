"""Out-of-fold probabilities -> for each class, the least confidence that keeps a promise.

A class's promise: of the images that are given its label with at least that confidence, the share
that was asked for is right. It is tested as learn-then-test does (Angelopoulos et al. 2021,
arXiv:2110.01052), by exact limits, so it holds with 95 % certainty however few images there are.
Where there are too few, nothing is promised. Pure functions of arrays.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.calibration import NEVER, accepted_threshold, least_images

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
            thresholds[number] = accepted_threshold(
                confidence[own], is_right[own], 1 - precision, groups[own]
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
