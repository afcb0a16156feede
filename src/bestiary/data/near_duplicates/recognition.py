"""A run's images and others that came later -> which of these show what the run knows, and how that
was seen.

By the bytes, by the decoded pixels, or as near copies, by the same means as in one data set. Knows
nothing of labels and of networks.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing import list_labeled
from bestiary.data.manifest import SCHEMA, Manifest, read_listed
from bestiary.data.near_duplicates.grouping import find_near_duplicates, mark_near_duplicates
from bestiary.display import Display
from bestiary.storage.files import Root

KINDS = {
    "seen_in_training": "sha256",
    "same_pixels": "pixel_sha256",
    "near_duplicate": "duplicate_group",
}
"""Ways to be known, the surest first, and the column that the two images share."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was recognized.

    Attributes:
        table: the later images in the order given, columns as of a manifest with copies filled in;
            besides kind, one of `KINDS`, and original, path of an image of the run, both null where
            the image is new.
        gone: how many of the run's images near copies could not be looked for of, since their files
            are gone.
    """

    table: pl.DataFrame
    gone: int


def recognize_labeled(
    images: Path, known: pl.DataFrame, root: Root, display: Display
) -> tuple[Manifest, Recognition]:
    """Read the labeled images at `images`, and look for those of `known` among them; the rest as
    `recognize`.

    Raises:
        DataError: no labeled image is there.
    """
    listing, cache = list_labeled(images), ImageInfoCache(cache_folder())
    with display.counter("Reading images") as tick:
        read = read_listed(listing, tick, cache)
    return read, recognize(read.table, known, root, cache, display)


def recognize(
    later: pl.DataFrame, known: pl.DataFrame, root: Root, cache: ImageInfoCache, display: Display
) -> Recognition:
    """Look for the images of `known` among those of `later`.

    Args:
        later: columns as of a manifest; all of them read by `cache`.
        known: a run's manifest.
        root: folder that the paths of `known` start from; its files are read where `cache` has
            forgotten them.
        cache: what is known of images.
        display: shows how far the work has come.

    Raises:
        BestiaryError: the cache's folder cannot be written.
    """
    forgotten = known.filter(~pl.col("sha256").is_in(list(cache.readable_digests)))
    if forgotten.height:
        with display.counter("Reading the run's images") as tick:
            cache.read([root / path for path in forgotten["path"]], tick)
    held = pl.col("sha256").is_in(list(cache.readable_digests))
    parts = [
        part.select(*SCHEMA).with_columns(pl.lit(new).alias("later"))
        for part, new in ((known, 0), (later, 1))
    ]
    both = pl.concat(parts)
    marked = mark_near_duplicates(both, find_near_duplicates(both.filter(held), cache, display))
    table, old = marked.filter(later=1).drop("later"), marked.filter(later=0)
    for kind, column in KINDS.items():
        first = old.drop_nulls(column).group_by(column).agg(pl.col("path").min().alias(kind))
        table = table.join(first, on=column, how="left", maintain_order="left")
    kinds = [pl.when(pl.col(kind).is_not_null()).then(pl.lit(kind)) for kind in KINDS]
    table = table.with_columns(
        pl.coalesce(kinds).alias("kind"), pl.coalesce(list(KINDS)).alias("original")
    )
    return Recognition(table.drop(list(KINDS)), known.filter(~held).height)
