"""Listed images -> the manifest of a dataset: sizes, SHA-256, quality warnings and quarantine.

Each image is read and decoded once, so no image that cannot be decoded reaches a fold. The
quarantine lists the images that are left out, with the reason. Knows nothing of folds or networks,
and compares no image with another.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from bestiary.data.bit_depth import FULL_RANGE, WhiteLevel, white_of_dataset
from bestiary.data.exif_fields import fill_from_exif, taken_of
from bestiary.data.image_info import ImageInfo
from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing_types import Listing
from bestiary.data.natural_order import natural_key
from bestiary.data.quality_warnings import quality_warning
from bestiary.display import Tick
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.printable import place_name
from bestiary.run.fields import carried_columns
from bestiary.storage.boxes import split_path
from bestiary.storage.files import Root
from bestiary.storage.roots import reading_order

SCHEMA = {
    "path": pl.String,  # relative to the root, forward slashes
    "label": pl.String,
    "group": pl.String,  # the user's group; null: none
    "split": pl.String,  # train, val or null, as the user supplied it
    "size_bytes": pl.Int64,
    "height": pl.Int32,
    "width": pl.Int32,
    "sha256": pl.String,  # SHA-256 of the file's bytes, hexadecimal
    "pixel_sha256": pl.String,  # SHA-256 of the decoded pixels, hexadecimal
    "warning": pl.String,  # quality warnings; null: none
    # A name that near duplicates share. Null: the image has none, or nothing was compared.
    "duplicate_group": pl.String,
    # Near duplicates have different labels. Such images are trained on and never scored.
    "label_conflict": pl.Boolean,
}

GROUP_KEYS = ("group", "sha256", "duplicate_group")
"""Columns that keep images together: two images with the same value are never split apart."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The images of a run.

    Attributes:
        root: Absolute folder that the paths start from.
        table: One row per image, columns as in `SCHEMA` and then as in `bestiary.run.fields`,
            sorted by path.
        quarantine: Path and reason of each image that is left out.
        ignored: Number of files that were not listed as images, by reason.
        empty_classes: Classes without a readable image, each with a reason.
        white: Value of white in images of more than 8 bits that do not state it.
        n_deep: Number of such images.
    """

    root: Root
    table: pl.DataFrame
    quarantine: pl.DataFrame
    ignored: dict[str, int]
    empty_classes: dict[str, str] = field(default_factory=dict)
    white: WhiteLevel = FULL_RANGE
    n_deep: int = 0

    @property
    def classes(self) -> list[str]:
        """Class names in natural order."""
        return natural_classes(self.table["label"])

    def without(self, labels: list[str], reason: str) -> "Manifest":
        """Move the images of some classes to quarantine.

        Args:
            labels: Names of the classes.
            reason: Reason that the quarantine gives for each of their images.
        """
        is_moved = pl.col("label").is_in(labels)
        paths = self.table.filter(is_moved).select("path")
        moved = paths.with_columns(pl.lit(reason).alias("reason"))
        quarantine = pl.concat([self.quarantine, moved])
        return replace(
            self,
            table=self.table.filter(~is_moved),
            quarantine=quarantine.sort("path"),
        )


def natural_classes(labels: pl.Series) -> list[str]:
    """List the different labels in natural order: `2` before `10`."""
    names = labels.unique().to_list()
    return sorted(names, key=natural_key)


def read_manifest(
    listing: Listing,
    progress: Tick | None = None,
    cache: ImageInfoCache | None = None,
) -> Manifest:
    """Read every listed image on all cores, and decode those that are not cached.

    Args:
        listing: The labeled images.
        progress: Called with the number of images read.
        cache: Image infos of earlier reads; None: the cache in the user's cache folder.

    Raises:
        DataError: None of the images can be decoded.
        BestiaryError: The cache folder cannot be written.
    """
    cache = cache or ImageInfoCache(cache_folder())
    manifest = read_listing(listing, progress, cache)
    if manifest.table.is_empty():
        count = listing.table.height
        first = manifest.quarantine.row(0)
        raise DataError(
            f"{place_name(listing.root)}: {counted(count, 'image')}, none of which can be decoded; "
            f"first: {first}"
        )
    return manifest


def read_listing(listing: Listing, progress: Tick | None, cache: ImageInfoCache) -> Manifest:
    """Read the images of a listing that may be unlabeled or empty; else as `read_manifest`.

    Args:
        listing: The images; labels may be null.
        progress: Called with the number of images read.
        cache: Image infos of earlier reads.

    Raises:
        BestiaryError: The cache folder cannot be written.
    """
    infos = _read_infos(listing, progress, cache)
    white = white_of_dataset((info.sample_kind, info.max_value) for info in infos)
    table = _manifest_table(listing, infos, white)
    return Manifest(
        root=listing.root.resolve(),
        table=table,
        quarantine=_quarantine(listing, infos),
        ignored=listing.ignored,
        empty_classes=_find_empty_classes(listing, table),
        white=white,
        n_deep=sum(bool(info.sample_kind) for info in infos),
    )


def _read_infos(listing: Listing, progress: Tick | None, cache: ImageInfoCache) -> list[ImageInfo]:
    """Read in the order that suits the storage; return the infos in the listing's order."""
    paths = listing.table["path"].to_list()
    order = reading_order(listing.root, paths)
    files = [listing.root / paths[index] for index in order]
    infos = cache.read(files, progress)
    listing_order = np.argsort(order)
    return [infos[index] for index in listing_order]


def _find_empty_classes(listing: Listing, table: pl.DataFrame) -> dict[str, str]:
    """Find the classes that are listed or have a folder, but have no readable image."""
    empty = {}
    for label, n_unusable in listing.empty_classes.items():
        empty[label] = (
            f"{counted(n_unusable, 'image')}, none of which can be read" if n_unusable else "empty"
        )
    readable = set(table["label"])
    listed = listing.table["label"].drop_nulls().value_counts(sort=True)
    for label, count in listed.iter_rows():
        if label not in readable:
            empty[label] = f"{counted(count, 'image')}, none of which can be read"
    return empty


def _manifest_table(listing: Listing, infos: list[ImageInfo], white: WhiteLevel) -> pl.DataFrame:
    """Add the columns of the manifest, and what EXIF says, to the images that decode."""
    paths = listing.table["path"].to_list()
    decodes = []
    rows = []
    readable = []
    for path, info in zip(paths, infos, strict=True):
        decodes.append(info.reason is None)
        if info.reason is None:
            rows.append(_manifest_row(path, info, white))
            readable.append(taken_of(info))

    columns = {}
    for name, kind in SCHEMA.items():
        if name not in listing.table.columns:
            columns[name] = kind

    added = pl.DataFrame(rows, schema=columns, orient="row")
    is_readable = pl.Series(decodes, dtype=pl.Boolean)
    images = fill_from_exif(listing.table.filter(is_readable).hstack(added), readable)
    return images.select(*SCHEMA, *carried_columns(images.columns))


def _manifest_row(path: str, info: ImageInfo, white: WhiteLevel) -> tuple[object, ...]:
    """Values of the columns that the manifest adds to a listing, in the order of `SCHEMA`."""
    duplicate_group = None
    label_conflict = False
    return (
        info.size_bytes,
        info.height,
        info.width,
        info.sha256,
        info.pixel_sha256,
        quality_warning(split_path(path)[0], info, white),
        duplicate_group,
        label_conflict,
    )


def _quarantine(listing: Listing, infos: list[ImageInfo]) -> pl.DataFrame:
    """List path and reason of the images that cannot be listed or decoded, sorted by path."""
    paths = listing.table["path"].to_list()
    rows = list(listing.unusable)
    for path, info in zip(paths, infos, strict=True):
        if info.reason is not None:
            rows.append((path, info.reason))

    schema = {
        "path": pl.String,
        "reason": pl.String,
    }
    quarantine = pl.DataFrame(rows, schema=schema, orient="row")
    return quarantine.sort("path")
