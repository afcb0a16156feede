"""Recognize training images among new images: by bytes, by decoded pixels or as near duplicates.

Uses the same near-duplicate search as one dataset does. Knows nothing of labels and networks.
"""

from dataclasses import dataclass

import polars as pl

from bestiary.data.image_info_cache import ImageInfoCache, open_cache
from bestiary.data.listing import DEFAULT_OPTIONS, list_dataset
from bestiary.data.listing_types import DataPath
from bestiary.data.manifest import SCHEMA, Manifest, read_listing
from bestiary.data.near_duplicates.grouping import find_near_duplicates, mark_near_duplicates
from bestiary.display import Display
from bestiary.errors import DataError
from bestiary.recipe.sections import DataOptions
from bestiary.storage.files import Root

DUPLICATE_KINDS = {
    "seen_in_training": "sha256",
    "same_pixels": "pixel_sha256",
    "near_duplicate": "duplicate_group",
}
"""Kinds of duplicates, the surest first, and the column that the two images share."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The training images among new images.

    Attributes:
        table: The new images in the order given, columns as of a manifest with duplicate_group
            filled in. Two more columns are null for an image that is really new: kind, one of
            `DUPLICATE_KINDS`, and original, the path of a training image.
        n_missing: Number of training images whose near duplicates could not be looked for, because
            their files are missing.
    """

    table: pl.DataFrame
    n_missing: int


def recognize_labeled(
    images: DataPath,
    training: pl.DataFrame,
    root: Root,
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
) -> tuple[Manifest, Recognition]:
    """Read labeled images, and recognize the training images among them.

    Args:
        images: Folder or table of the new images.
        training: Manifest table of the run.
        root: Folder that the paths of `training` start from.
        display: Shows the progress, and what was assumed of the layout.
        options: How the images are listed.

    Returns:
        The manifest of the new images, and which of them are training images.

    Raises:
        DataError: There is no labeled image.
    """
    listing = list_dataset(images, options).drop_unlabeled(pl.lit(True))
    if listing.table.is_empty():
        raise DataError(f"{images}: holds no labeled images; expected {images}/<class>/<image>")
    for note in listing.notes:
        display.line(note)
    cache = open_cache(display)
    with display.counter("Reading images") as tick:
        manifest = read_listing(listing, tick, cache)

    recognition = recognize(manifest.table, manifest.root, training, root, cache, display)
    return manifest, recognition


def recognize(
    new: pl.DataFrame,
    new_root: Root,
    training: pl.DataFrame,
    root: Root,
    cache: ImageInfoCache,
    display: Display,
) -> Recognition:
    """Recognize training images among new images.

    Args:
        new: Columns as of a manifest; `cache` has read all images.
        new_root: Folder that the paths of `new` start from.
        training: Manifest table of the run.
        root: Folder that the paths of `training` start from. Its files are read if `cache` does
            not have them any more.
        cache: Image infos.
        display: Shows the progress.

    Raises:
        BestiaryError: The cache folder cannot be written.
    """
    _read_uncached(training, root, cache, display)
    is_readable = _is_readable(cache)

    # Mark the near duplicates among training and new images together.
    columns = list(SCHEMA)
    both = pl.concat(
        [
            training.select(columns).with_columns(is_new=False),
            new.with_columns(is_new=True),
        ],
        how="diagonal",
    )
    parts = [(root, training.filter(is_readable)), (new_root, new)]
    pairs = find_near_duplicates(parts, cache, display)
    marked = mark_near_duplicates(both, pairs)

    is_new = pl.col("is_new")
    table = marked.filter(is_new).select(new.columns)
    originals = marked.filter(~is_new)
    missing = training.filter(~is_readable)
    return Recognition(
        table=_join_originals(table, originals),
        n_missing=missing.height,
    )


def _read_uncached(
    training: pl.DataFrame, root: Root, cache: ImageInfoCache, display: Display
) -> None:
    """Read the training images that the cache does not have any more."""
    is_readable = _is_readable(cache)
    uncached = training.filter(~is_readable)
    if uncached.height:
        files = [root / path for path in uncached["path"]]
        with display.counter("Reading the run's images") as tick:
            cache.read(files, tick)


def _is_readable(cache: ImageInfoCache) -> pl.Expr:
    digests = list(cache.readable_digests)
    return pl.col("sha256").is_in(digests)


def _join_originals(table: pl.DataFrame, originals: pl.DataFrame) -> pl.DataFrame:
    """Add the columns kind and original: the surest kind, and the first path of that kind."""
    kinds = []
    for kind, column in DUPLICATE_KINDS.items():
        first_path = pl.col("path").min().alias(kind)
        with_value = originals.drop_nulls(column)
        path_of_value = with_value.group_by(column).agg(first_path)
        table = table.join(path_of_value, on=column, how="left", maintain_order="left")

        has_original = pl.col(kind).is_not_null()
        kind_or_null = pl.when(has_original).then(pl.lit(kind))
        kinds.append(kind_or_null)

    path_columns = list(DUPLICATE_KINDS)
    table = table.with_columns(
        pl.coalesce(kinds).alias("kind"),
        pl.coalesce(path_columns).alias("original"),
    )
    return table.drop(path_columns)
