"""A training set -> what heads on the frozen network get right out of fold, without a run on
disk.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import deal, leak_groups
from bestiary.data.manifest import Manifest
from bestiary.display import Display
from bestiary.recipe.options import Recipe
from bestiary.rng import keyed_rng
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import frozen_features
from bestiary.training.lda_head import fitted_layer


def draw_part(
    manifest: Manifest, most: int, seed: int = 0
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Rows of a manifest, `most` of those that can be scored or all, drawn at random, and the
    group of each.
    """
    table = manifest.table.filter(~pl.col("label_conflict"))
    if table.height > most:
        rows = keyed_rng(seed, "part", table.height, most).permutation(table.height)[:most]
        table = table[np.sort(rows)]
    return table, leak_groups(table)


def probe_hits(
    recipe: Recipe,
    manifest: Manifest,
    table: pl.DataFrame,
    groups: NDArray[np.int64],
    display: Display,
) -> NDArray[np.bool_]:
    """Whether a linear discriminant of the other folds' frozen features has each image of `table`
    right (images,).

    Raises:
        WeightsError: the backbone or its weights are not to be had.
    """
    folds = deal(table["path"], table["label"], groups, recipe.folds.n, recipe.folds.seed)
    dealt = table.select("path").with_columns(pl.Series("fold", folds))
    data = TrainingSet.of(recipe, table, manifest.root, dealt)
    features, classes = frozen_features(data, display), len(data.classes)
    hits = np.zeros(len(data.labels), np.bool_)
    for fold in range(recipe.folds.n):
        train, held = data.rows(fold)
        weights, biases = fitted_layer(
            features[train],
            data.labels[train],
            classes,
            recipe.loss.logit_adjustment,
            recipe.model.head_tau_norm,
        )
        hits[held] = (features[held] @ weights.T + biases).argmax(axis=1) == data.labels[held]
    return hits
