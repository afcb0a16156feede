"""Fold job: everything that training one fold needs, in one object.

Does not know how a fold is trained.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.display import TrainingDisplay
from bestiary.model.compute import ComputeConfig
from bestiary.recipe.options import Recipe
from bestiary.run.layout import FoldFiles
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.dataset import TrainingSet
from bestiary.training.distributed import World
from bestiary.training.frozen_features import FrozenFeatures


@dataclass(frozen=True, slots=True)
class FoldJob:
    """One fold of a run, to be trained.

    Attributes:
        data: images, labels and folds of the run, and its recipe.
        fold: number of the fold that is held out.
        files: where the results are written.
        features: computes the frozen backbone's features of every image.
        unlabeled: frozen features of unlabeled images that the head learns from, (unlabeled,
            features); None: there are none.
        compute: precision, memory layout, compilation and threads.
        checkpointer: decides when the fold's state is saved.
        display: shows steps and epochs.
    """

    data: TrainingSet
    fold: int
    files: FoldFiles
    features: Callable[[], FrozenFeatures]
    unlabeled: NDArray[np.float32] | None
    compute: ComputeConfig
    checkpointer: Checkpointer
    display: TrainingDisplay

    @property
    def recipe(self) -> Recipe:
        """Recipe of the run."""
        return self.data.recipe

    @property
    def world(self) -> World:
        """Ranks that train the fold together."""
        return self.data.world

    def notice(self, text: str) -> None:
        """Show the user a line, even when quiet."""
        self.display.display.notice(text)
