"""What charts need of scored images, whether they were scored out of fold or held out."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Judged(Protocol):
    """Labeled images with the answers of networks that have not seen them.

    Attributes:
        classes: class names in the order of the class numbers.
        labels: class numbers (images,).
        groups: group numbers (images,).
        hits: whether each image is right (images,).
        confidence: calibrated probability of the answer, 0 to 1 (images,).
        confusion: confusion matrix (classes, classes), labels in rows.
        scores: accuracy with its interval, and the calibrated scores, as in metrics.json.
        per_class: see `bestiary.stats.scores.class_table`.
    """

    @property
    def classes(self) -> list[str]: ...  # noqa: D102

    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102

    @property
    def groups(self) -> NDArray[np.int64]: ...  # noqa: D102

    @property
    def hits(self) -> NDArray[np.bool_]: ...  # noqa: D102

    @property
    def confidence(self) -> NDArray[np.float64]: ...  # noqa: D102

    @property
    def confusion(self) -> NDArray[np.int64]: ...  # noqa: D102

    @property
    def scores(self) -> dict[str, Any]: ...  # noqa: D102

    @property
    def per_class(self) -> list[dict[str, Any]]: ...  # noqa: D102
