"""A time budget and measured seconds -> what to try next, and which of the trials to keep.

All trials of a dataset are judged on the held-out images of one fold, `CHOOSING_FOLD`. The members
of the other folds were not chosen by the images that they are scored on, and that fold is not
scored at all, so the choice cannot flatter the score. Trains nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.recipe.options import Recipe
from bestiary.run.budget_file import TrialRecord
from bestiary.stats.calibration import fit_temperature
from bestiary.stats.metrics import logit_log_losses

CHOOSING_FOLD = 0
SHARES = (0.0, 0.25, 0.5, 0.75)  # of the initial weights, see `train.wise_ft`
MIN_EPOCHS = 2  # of fine-tuning; one alone is mostly warm-up and mixed batches
MAX_EPOCHS = 20
USABLE = 0.95  # share of the budget that is planned with
TOLERANCE = 1.08  # folds that are expected to end after this share of the budget are not trained
LARGER = 1.25  # the next size, as a multiple
SIZE_STEP = 32  # pixels


@dataclass(frozen=True)
class Trial:
    """One way that was tried, with the logits of the held-out images it is judged by.

    Attributes:
        name: of the way.
        recipe: that trains all folds this way.
        logits: (images, classes).
        labels: class numbers (images,).
        seconds: that the trial took.
    """

    name: str
    recipe: Recipe
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    seconds: float

    @property
    def hits(self) -> int:
        """Number of images that are predicted right."""
        return int((self.logits.argmax(axis=1) == self.labels).sum())

    @property
    def log_loss(self) -> float:
        """Mean log loss at the temperature that suits the images best."""
        scaled = self.logits.astype(np.float64) / fit_temperature(self.logits, self.labels)
        return float(logit_log_losses(scaled, self.labels).mean())

    def record(self) -> TrialRecord:
        """Describe the trial for budget.json."""
        return TrialRecord(
            name=self.name,
            epochs=self.recipe.train.epochs,
            size=self.recipe.view.size,
            images=len(self.labels),
            accuracy=self.hits / len(self.labels),
            log_loss=self.log_loss,
            seconds=self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """What one fold costs.

    Attributes:
        epoch: seconds of an epoch of fine-tuning.
        fixed: seconds besides its epochs.
    """

    epoch: float
    fixed: float

    def epochs_within(self, seconds: float, folds: int) -> int:
        """Count the epochs of each fold that fit into some seconds, up to `MAX_EPOCHS`.

        Example:
            >>> Costs(epoch=10, fixed=20).epochs_within(600, folds=5)
            10
        """
        each = seconds / folds - self.fixed
        return max(0, min(MAX_EPOCHS, math.floor(each / self.epoch)))


def choose(trials: Sequence[Trial]) -> Trial:
    """Choose the trial with the most hits; among equals the one with the lowest log loss.

    Args:
        trials: at least one, judged by the same images, the cheapest first.

    Returns:
        The choice. Of trials that are equal in both, the first.
    """
    return min(trials, key=lambda trial: (-trial.hits, trial.log_loss))


def larger_size(size: int) -> int:
    """Return the next larger size to try, in pixels.

    Example:
        >>> larger_size(224)
        288
    """
    return max(size + SIZE_STEP, SIZE_STEP * round(size * LARGER / SIZE_STEP))
