"""Labeled images -> frozen features, and predictions of heads on them, as `fast` trains.

The features are computed once. So folds and ensembles are available for many splits in the time of
one run.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.audit import audit_images
from bestiary.data.folds import join_groups
from bestiary.data.listing import list_labeled
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import frozen_features
from bestiary.training.lda_head import Moments, lda_layer, tune_lda

FOLDS = 5
Numbers = NDArray[np.int64]
Features = NDArray[np.float32]


def read_data(
    source: Path, recipe: str = "fast", overrides: Sequence[str] = ()
) -> tuple[TrainingSet, Numbers]:
    """The images of a folder as `recipe` views them, and each one's group from the audit."""
    loaded = load_recipe(recipe, overrides)
    table = audit_images(list_labeled(source, loaded.data), Display(quiet=True)).manifest.table
    folds = table.select("path", pl.lit(0).alias("fold"))
    groups = join_groups(table["sha256"], table["duplicate_group"])
    return TrainingSet.of(loaded, table, source.resolve(), folds), groups


def features_of(data: TrainingSet) -> Features:
    return frozen_features(data, Display(quiet=True))


def cross_validate(
    x: Features,
    labels: Numbers,
    folds: Numbers,
    held_out: Features,
    classes: int,
    head_tau_norm: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a linear discriminant for each fold.

    The parameters are tuned once, on the training part of the first fold, as `fast` does.

    Returns:
        Out-of-fold logits (images, classes), and each member's on `held_out` (folds, images,
        classes).
    """
    logits = np.empty((len(x), classes))
    members = np.empty((FOLDS, len(held_out), classes))
    shape = tune_lda(x[folds != 0], labels[folds != 0], classes, head_tau_norm)
    for fold in range(FOLDS):
        rest = folds != fold
        weights, biases = lda_layer(Moments.of(x[rest], labels[rest], classes), shape)
        logits[~rest] = x[~rest] @ weights.T + biases
        members[fold] = held_out @ weights.T + biases
    return logits, members
