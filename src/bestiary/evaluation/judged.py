"""Scored images, out of fold or held out -> what charts and tables show of either."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.metrics import confusion


class Judged:
    """Labeled images with the answers of networks that have not seen them.

    A subclass brings these attributes, as fields or as properties.

    Attributes:
        classes: class names in the order of the class numbers.
        labels: class numbers (images,).
        groups: group numbers (images,).
        predicted: predicted class numbers (images,).
        probabilities: calibrated if the run is (images, classes).
        scores: accuracy and the other scores with their intervals, as in metrics.json.
        per_class: see `bestiary.stats.scores.class_table`.
    """

    if TYPE_CHECKING:  # at run time, properties would be the defaults of a dataclass

        @property
        def classes(self) -> list[str]: ...  # noqa: D102
        @property
        def labels(self) -> NDArray[np.int64]: ...  # noqa: D102
        @property
        def groups(self) -> NDArray[np.int64]: ...  # noqa: D102
        @property
        def predicted(self) -> NDArray[np.int64]: ...  # noqa: D102
        @property
        def probabilities(self) -> NDArray[np.float64]: ...  # noqa: D102
        @property
        def scores(self) -> dict[str, Any]: ...  # noqa: D102
        @property
        def per_class(self) -> list[dict[str, Any]]: ...  # noqa: D102

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """Whether each image is right (images,)."""
        return np.asarray(self.predicted == self.labels)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class, calibrated if the run is (images,)."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix (classes, classes), labels in rows."""
        return confusion(self.predicted, self.labels, len(self.classes))
