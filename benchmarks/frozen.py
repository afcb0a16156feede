"""A folder of labeled images -> frozen features, and what heads on them predict: the cheap stand-in
for `fast`.

`fast` starts each member's head from a linear discriminant of frozen features and changes it little
after, so the same folds and the same ensembles can be had for many splits in the time of one run.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.audit import audit_images
from bestiary.data.folds import join_groups
from bestiary.data.listing import list_labeled, list_test
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import frozen_features
from bestiary.training.lda_head import Moments, choose_shape, discriminant

FOLDS = 5
Numbers = NDArray[np.int64]
Features = NDArray[np.float32]


def read_data(
    source: Path, recipe: str = "fast", overrides: Sequence[str] = ()
) -> tuple[TrainingSet, Numbers]:
    """The images with their labels, viewed as `recipe` views them, and the group of each as the
    audit finds them.
    """
    table = audit_images(
        list_labeled(source), list_test(source), Display(quiet=True)
    ).manifest.table
    folds = table.select("path", pl.lit(0).alias("fold"))
    groups = join_groups(table["sha256"], table["duplicate_group"])
    return TrainingSet.of(load_recipe(recipe, overrides), table, source.resolve(), folds), groups


def features_of(data: TrainingSet) -> Features:
    return frozen_features(data, Display(quiet=True))


def cross_validate(
    x: Features,
    labels: Numbers,
    folds: Numbers,
    held: Features,
    classes: int,
    head_tau_norm: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Out-of-fold logits (images, classes), and each member's (folds, held, classes) of images held
    out.

    The shape is chosen once, on the first fold's training part, where `fast` chooses it for every
    fold.
    """
    logits, members = np.empty((len(x), classes)), np.empty((FOLDS, len(held), classes))
    shape = choose_shape(x[folds != 0], labels[folds != 0], classes, head_tau_norm)
    for fold in range(FOLDS):
        rest = folds != fold
        weights, biases = discriminant(Moments.of(x[rest], labels[rest], classes), shape)
        logits[~rest] = x[~rest] @ weights.T + biases
        members[fold] = held @ weights.T + biases
    return logits, members
