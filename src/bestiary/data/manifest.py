"""Listed images -> the manifest: what each file holds, and which files are set aside with the
reason.

Every image is read and decoded once, so nothing is trained, or dealt to a fold, that cannot be
decoded. Knows nothing of folds or networks, and compares no image with another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing import Listing
from bestiary.data.natural_order import natural_key
from bestiary.data.quality_warnings import quality_warning
from bestiary.errors import DataError
from bestiary.storage.files import Root
from bestiary.storage.places import reading_order

Progress = Callable[[int, int], None]  # (done, of)

SCHEMA = {
    "path": pl.String,  # relative to the root, forward slashes
    "label": pl.String,
    "group": pl.String,  # null: no group of the user's
    "split": pl.String,  # train, val or null, as supplied
    "size_bytes": pl.Int64,
    "height": pl.Int32,
    "width": pl.Int32,
    "sha256": pl.String,  # SHA-256 of the file's bytes, hexadecimal
    "pixel_sha256": pl.String,  # SHA-256 of the decoded pixels, hexadecimal
    "warning": pl.String,  # what is odd about the image, null where nothing is
    # a name that copies of one image share; null where there are none, or nobody looked
    "duplicate_group": pl.String,
    # copies of it have another label: it is trained on and never scored
    "label_conflict": pl.Boolean,
}
GROUP_KEYS = (
    "group",
    "sha256",
    "duplicate_group",
)  # images that share one of these must not be on two sides of a split


@dataclass(frozen=True, slots=True)
class Manifest:
    """The images of a run.

    Attributes:
        root: absolute folder that the paths start from.
        table: one row an image, columns as in `SCHEMA`, sorted by path.
        quarantine: path and reason of each image that is left out.
        ignored: counts of files that were not taken for images, by reason.
    """

    root: Root
    table: pl.DataFrame
    quarantine: pl.DataFrame
    ignored: dict[str, int]

    @property
    def classes(self) -> list[str]:
        """Class names in natural order."""
        return natural_classes(self.table["label"])

    def without(self, labels: list[str], reason: str) -> "Manifest":
        """The manifest with the images of `labels` moved to quarantine."""
        out = pl.col("label").is_in(labels)
        moved = self.table.filter(out).select("path", pl.lit(reason).alias("reason"))
        quarantine = pl.concat([self.quarantine, moved]).sort("path")
        return Manifest(self.root, self.table.filter(~out), quarantine, self.ignored)


def natural_classes(labels: pl.Series) -> list[str]:
    """The different labels in natural order: `2` before `10`."""
    return sorted(labels.unique().to_list(), key=natural_key)


def read_manifest(
    listing: Listing, progress: Progress | None = None, cache: ImageInfoCache | None = None
) -> Manifest:
    """Read every listed image on all cores, and decode those that were not seen before.

    Args:
        listing: the labeled images.
        progress: told how many images are read.
        cache: what is known of images; None: the one in the user's cache folder.

    Raises:
        DataError: not one of the images can be decoded.
        BestiaryError: the cache's folder cannot be written.
    """
    manifest = read_listed(listing, progress, cache or ImageInfoCache(cache_folder()))
    if manifest.table.is_empty():
        count, first = listing.table.height, manifest.quarantine.row(0)
        raise DataError(
            f"{listing.root}: none of its {count} images can be decoded; first: {first}"
        )
    return manifest


def read_listed(listing: Listing, progress: Progress | None, cache: ImageInfoCache) -> Manifest:
    """As `read_manifest`, but labels may be null, and it may be that no image is there.

    Raises:
        BestiaryError: the cache's folder cannot be written.
    """
    paths = listing.table["path"].to_list()
    order = reading_order(listing.root, paths)
    read = cache.read([listing.root / paths[row] for row in order], progress)
    infos = [read[place] for place in np.argsort(order)]
    reasons = [
        (path, info.reason)
        for path, info in zip(paths, infos, strict=True)
        if info.reason is not None
    ]
    quarantine = pl.DataFrame(
        [*listing.unusable, *reasons], schema={"path": pl.String, "reason": pl.String}, orient="row"
    ).sort("path")
    good = pl.Series([info.reason is None for info in infos], dtype=pl.Boolean)
    found = [
        (
            f.size_bytes,
            f.height,
            f.width,
            f.sha256,
            f.pixel_sha256,
            quality_warning(path, f),
            None,
            False,
        )
        for path, f in zip(paths, infos, strict=True)
        if f.reason is None
    ]
    added = {name: kind for name, kind in SCHEMA.items() if name not in listing.table.columns}
    table = listing.table.filter(good).hstack(pl.DataFrame(found, schema=added, orient="row"))
    return Manifest(listing.root.resolve(), table, quarantine, listing.ignored)
