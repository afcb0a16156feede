"""A folder of labelled pictures -> frozen features, and what heads on them predict: the cheap stand-in for `fast`.

`fast` starts each member's head from a linear discriminant of frozen features and changes it little after, so the same
folds and the same ensembles can be had for many splits in the time of one run.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.audit import audit_pictures
from bestiary.data.folds import join_groups
from bestiary.data.listing import list_labelled, list_test
from bestiary.display import Display
from bestiary.recipe import load_recipe
from bestiary.train.crossval import frozen_features
from bestiary.train.head import calibrate, discriminant
from bestiary.train.task import TrainingSet

FOLDS = 5
Numbers = NDArray[np.int64]
Features = NDArray[np.float32]


def read_data(source: Path) -> tuple[TrainingSet, Numbers]:
    """The pictures with their labels, and the group of each as the audit finds them."""
    table = audit_pictures(list_labelled(source), list_test(source), Display(quiet=True)).manifest.table
    folds = table.select("path", pl.lit(0).alias("fold"))
    groups = join_groups(table["digest"], table["copies"])
    return TrainingSet.of(load_recipe("fast"), table, source.resolve(), folds), groups


def features_of(data: TrainingSet) -> Features:
    return frozen_features(data, Display(quiet=True))


def cross_validate(
    x: Features, labels: Numbers, folds: Numbers, held: Features, classes: int, *, calibrated: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Out-of-fold logits (pictures, classes), and each member's (folds, held, classes) of pictures held out.

    Calibration changes no member's best class; leaving it out halves the time.
    """
    logits, members = np.empty((len(x), classes)), np.empty((FOLDS, len(held), classes))
    for fold in range(FOLDS):
        rest = folds != fold
        weights, biases = discriminant(x[rest], labels[rest], classes)
        sharpness = calibrate(x[rest], labels[rest], classes) if calibrated else 1.0
        logits[~rest] = (x[~rest] @ weights.T + biases) * sharpness
        members[fold] = (held @ weights.T + biases) * sharpness
    return logits, members
