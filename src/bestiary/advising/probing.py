"""Probing without a run: a manifest and a recipe -> out-of-fold hits of heads.

The heads are those of `bestiary probe`, on frozen features, which are cached. Nothing is written to
a run directory. Knows nothing of speeds or advice.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import assign_folds, leak_groups
from bestiary.data.loader import Rows
from bestiary.data.manifest import Manifest
from bestiary.display import Display
from bestiary.recipe.options import Recipe
from bestiary.rng import keyed_rng
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import Features, frozen_features
from bestiary.training.head import fit_layer


def draw_images(
    manifest: Manifest, max_images: int, seed: int = 0
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Draw images to evaluate heads on, at random.

    Args:
        manifest: of the dataset. Images with a label conflict are not drawn.
        max_images: all images are taken if there are no more than this.
        seed: of the draw.

    Returns:
        Lines of the manifest, and the leak group of each image (images,).
    """
    table = manifest.table.filter(~pl.col("label_conflict"))
    if table.height > max_images:
        rng = keyed_rng(seed, "part", table.height, max_images)
        order = rng.permutation(table.height)
        drawn = np.sort(order[:max_images])
        table = table[drawn]
    return table, leak_groups(table)


def probe_hits(
    recipe: Recipe,
    manifest: Manifest,
    table: pl.DataFrame,
    groups: NDArray[np.int64],
    display: Display,
) -> NDArray[np.bool_]:
    """Cross-validate heads on frozen features.

    Args:
        recipe: its backbone, view, folds and head are used.
        manifest: that `table` is drawn from.
        table: as `draw_images` returns it.
        groups: as `draw_images` returns them.
        display: shows progress.

    Returns:
        Whether the head of the other folds predicts each image correctly, (images,).

    Raises:
        WeightsError: the backbone or its weights are not available.
    """
    fold_numbers = assign_folds(
        table["path"],
        table["label"],
        groups,
        recipe.folds.n,
        recipe.folds.seed,
    )
    folds = table.select("path").with_columns(pl.Series("fold", fold_numbers))
    data = TrainingSet.of(recipe, table, manifest.root, folds)
    features = frozen_features(data, display)

    hits = np.zeros(len(data.labels), np.bool_)
    for fold in range(recipe.folds.n):
        train, held_out = data.rows(fold)
        hits[held_out] = _hits_of_fold(data, features, train, held_out)
    return hits


def _hits_of_fold(
    data: TrainingSet, features: Features, train: Rows, held_out: Rows
) -> NDArray[np.bool_]:
    """Fit a head to the training part of a fold, and evaluate it on the held-out part."""
    (weights, biases), _ = fit_layer(
        data.recipe,
        features[train],
        data.labels[train],
        data.folds[train],
        len(data.classes),
    )
    logits = features[held_out] @ weights.T + biases
    predicted = logits.argmax(axis=1)
    return np.asarray(predicted == data.labels[held_out])
