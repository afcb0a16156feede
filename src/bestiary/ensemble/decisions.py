"""Calibrated probabilities -> what a user asked to be decided: kept promises, least expected cost.

Both are rules on top of an ensemble's answers and change none of them. Does not know how the
thresholds were learnt (`bestiary.stats.class_promises`) or the costs were given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.stats.class_promises import ClassPromises
from bestiary.stats.costs import decide

PROMISED = "promised"  # columns of a prediction with a promise, and with costs
DECISION = "decision"
EXPECTED_COST = "expected_cost"


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """The rules that answers are decided by.

    Attributes:
        promises: thresholds of each class; None: no precision was asked for.
        costs: (true classes, answers); None: no costs were given.
    """

    promises: ClassPromises | None = None
    costs: NDArray[np.float64] | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """Names and types of the columns that the rules add to a table."""
        types: dict[str, Any] = {}
        if self.promises is not None:
            types[PROMISED] = pl.Boolean
        if self.costs is not None:
            types |= {DECISION: pl.String, EXPECTED_COST: pl.Float64}
        return types

    def columns(
        self,
        probabilities: NDArray[np.float64],
        is_unknown: NDArray[np.bool_],
        classes: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Decide each image.

        Args:
            probabilities: calibrated (images, classes).
            is_unknown: whether an image is out of distribution (images,); no promise holds for it.
            classes: class names.

        Returns:
            For each image the columns that the rules add.
        """
        rows: list[dict[str, Any]] = [{} for _ in probabilities]
        if self.promises is not None:
            for row, kept in zip(
                rows, self.promises.keeps(probabilities) & ~is_unknown, strict=True
            ):
                row[PROMISED] = bool(kept)
        if self.costs is not None:
            answers, expected = decide(probabilities, self.costs)
            for row, answer, cost in zip(rows, answers, expected, strict=True):
                row[DECISION] = str(classes[answer])
                row[EXPECTED_COST] = float(cost)
        return rows

    def to_json(self) -> dict[str, Any]:
        """Give the rules as values for JSON, to compare or to hand on."""
        content: dict[str, Any] = {}
        if self.promises is not None:
            content["promised"] = {
                "precision": self.promises.precision,
                "thresholds": self.promises.thresholds.tolist(),
            }
        if self.costs is not None:
            content["costs"] = self.costs.tolist()
        return content
