"""Unlabeled images for a new run -> their frozen features, copies of labeled images left out.

Every labeled image is held out by some fold, so a near duplicate of one would be learned from
without its label and judged with it. Does not know heads.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.image_info_cache import open_cache
from bestiary.data.listing import list_images
from bestiary.data.manifest import Manifest, read_listing
from bestiary.data.near_duplicates.recognition import recognize
from bestiary.display import Display
from bestiary.errors import ArgumentError, DataError
from bestiary.numbers import counted
from bestiary.recipe.options import Recipe
from bestiary.run.unlabeled import MAX_IMAGES
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import frozen_features


def check_takes_unlabeled(recipe: Recipe, images: Path) -> None:
    """Refuse unlabeled images where the recipe's heads do not learn from features.

    Raises:
        ArgumentError: it initializes its heads at random.
    """
    if not recipe.model.fits_head:
        raise ArgumentError(
            f"--unlabeled {images}: this recipe's heads start at random and learn from labels "
            "alone; choose probe or best, or give --set model.head=auto"
        )


def unlabeled_features(
    images: Path, recipe: Recipe, manifest: Manifest, display: Display
) -> tuple[pl.Series, NDArray[np.float32]]:
    """Read unlabeled images, leave out those that the run knows, and compute frozen features.

    Args:
        images: folder, table or image; labels that a table gives are not looked at.
        recipe: of the run, its white level filled in.
        manifest: of the labeled images.
        display: shows the progress, and how many images are left out.

    Returns:
        Paths (images,) and features (images, features).

    Raises:
        DataError: there is no image, none is left, or there are too many.
        WeightsError: the backbone or its weights are not available.
    """
    cache = open_cache(display)
    with display.counter("Reading unlabeled images") as tick:
        read = read_listing(list_images(images), tick, cache)
    columns = read.table.with_columns(pl.lit(None, pl.String).alias("label"))
    recognition = recognize(columns, read.root, manifest.table, manifest.root, cache, display)
    is_known = pl.col("kind").is_not_null()
    table = recognition.table.filter(~is_known).unique("sha256", keep="first", maintain_order=True)
    n_known = recognition.table.select(is_known.sum()).item()
    n_twice = recognition.table.height - n_known - table.height
    display.notice(
        f"Unlabeled: {counted(table.height, 'image')}; left out: "
        f"{counted(n_known, 'labeled image')} or near duplicates of them, {n_twice:,} that are "
        f"there twice, {read.quarantine.height:,} that cannot be read"
    )
    if table.is_empty():
        raise DataError(f"--unlabeled {images}: no image is left; name other images")
    if table.height > MAX_IMAGES:
        raise DataError(
            f"--unlabeled {images}: {table.height:,} images, at most {MAX_IMAGES:,} are taken; "
            "name fewer"
        )

    # One class and one fold, which features do not depend on.
    table = table.with_columns(pl.lit("unlabeled").alias("label"))
    folds = table.select("path", pl.lit(0).alias("fold"))
    data = TrainingSet.of(recipe, table, read.root, folds)
    return table["path"], frozen_features(data, display)
