"""A run's cached features and new images -> features of both, which show more than logits do.

They are those of the frozen network that the run started from: a change of the background that
leaves the logits alone is in them. Knows nothing of the test.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.display import Display
from bestiary.errors import WeightsError
from bestiary.evaluation.drifting import compared_rows
from bestiary.evaluation.new_images import NewImages
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.recipe.options import Recipe
from bestiary.stats.vectors import main_directions
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import cached_features, frozen_features

DIMENSIONS = 32  # of the projected features
IMAGES_A_DIMENSION = 4  # with nearly as many dimensions as images, all images are equally apart

Vectors = NDArray[np.float32]


class BothFeatures(NamedTuple):
    """Features of the images that a drift test compares.

    Attributes:
        reference: of one image a leak group of the run (reference, features).
        new: of the new images (images, features).
    """

    reference: Vectors
    new: Vectors


def both_features(
    recipe: Recipe, known: OutOfFold, new: NewImages, display: Display
) -> BothFeatures | None:
    """Compute the features of new images, if those of the run are in this machine's cache.

    Args:
        recipe: of the run.
        known: its out-of-fold logits, as `World.of` takes them.
        new: images that it was not trained on.
        display: shows the progress.

    Returns:
        The features of both; None where the cache lacks the run's, or the network is not there.
    """
    digests = known.table["sha256"].gather(compared_rows(known)).to_list()
    reference = cached_features(recipe, digests)
    if reference is None:
        return None
    table = new.table.with_columns(label=pl.lit("new"), label_conflict=pl.lit(False))
    folds = table.select("path", fold=pl.lit(0))
    try:
        own = frozen_features(TrainingSet.of(recipe, table, new.root, folds), display)
    except WeightsError:
        return None
    return project(reference, own)


def project(reference: Vectors, new: Vectors) -> BothFeatures:
    """Project on the main directions of both together, so that neither sample is favored.

    Features of networks are skewed. Their roots are less so.

    Args:
        reference: (reference, features).
        new: (images, features).

    Example:
        >>> vectors = np.eye(5, dtype=np.float32)
        >>> project(vectors[:3], vectors[3:]).new.shape
        (2, 1)
    """
    vectors = np.concatenate([reference, new])
    dimensions = min(DIMENSIONS, max(1, len(vectors) // IMAGES_A_DIMENSION))
    projected = main_directions(np.sign(vectors) * np.sqrt(np.abs(vectors)), dimensions)
    return BothFeatures(projected[: len(reference)], projected[len(reference) :])
