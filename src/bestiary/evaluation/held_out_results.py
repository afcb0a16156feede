"""Held-out images, as an ensemble has answered them -> what tables and charts show of them."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.judged import Judged
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.intervals import share_interval
from bestiary.stats.scores import class_table
from bestiary.storage.files import Root


@dataclass(frozen=True)
class HeldOutResults(Judged):
    """Scored images of an evaluation.

    Attributes:
        root: folder that the paths start from.
        paths: of the images.
        classes: class names in the order of the class numbers.
        labels: class numbers (images,).
        groups: group numbers (images,).
        probabilities: of the whole ensemble, calibrated if it is (images, classes).
    """

    root: Root
    paths: list[str]
    classes: list[str]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted class numbers (images,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def per_class(self) -> list[dict[str, Any]]:
        """Scores of each class, see `class_table`."""
        return class_table(self.predicted, self.labels, self.groups, len(self.classes))

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The accuracy and the other scores with their intervals, as in metrics.json."""
        intervals = score_intervals(self.probabilities, self.labels, self.groups)
        scores = {name: asdict(interval) for name, interval in intervals.items()}
        accuracy = asdict(share_interval(self.hits, self.groups))
        return {"accuracy": accuracy, "scores": scores, "calibrated": scores}
