"""Listed pictures -> the manifest: what each file holds, and which files are set aside with the reason.

Every picture is read and decoded once, so nothing is trained, or dealt to a fold, that cannot be decoded. Knows
nothing of folds or networks, and compares no picture with another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from bestiary.data.image_info_cache import FactCache, cache_folder
from bestiary.data.listing import Listing
from bestiary.data.natural_order import natural_key
from bestiary.data.quality_warnings import doubt_about
from bestiary.errors import DataError
from bestiary.storage.files import Root
from bestiary.storage.places import reading_order

Progress = Callable[[int, int], None]  # (done, of)

SCHEMA = {
    "path": pl.String,  # relative to the root, forward slashes
    "label": pl.String,
    "group": pl.String,  # null: no group of the user's
    "split": pl.String,  # train, val or null, as supplied
    "bytes": pl.Int64,
    "height": pl.Int32,
    "width": pl.Int32,
    "digest": pl.String,  # SHA-256 of the file's bytes, hexadecimal
    "pixels": pl.String,  # SHA-256 of the decoded pixels, hexadecimal
    "doubt": pl.String,  # what is odd about the picture, null where nothing is
    "copies": pl.String,  # a name that copies of one picture share; null where there are none, or nobody looked
    "conflict": pl.Boolean,  # copies of it have another label: it is trained on and never scored
}
GROUP_KEYS = (
    "group",
    "digest",
    "copies",
)  # pictures that share one of these must not be on two sides of a split


@dataclass(frozen=True, slots=True)
class Manifest:
    """The pictures of a run.

    Attributes:
        root: absolute folder that the paths start from.
        table: one row a picture, columns as in `SCHEMA`, sorted by path.
        quarantine: path and reason of each picture that is left out.
        ignored: counts of files that were not taken for pictures, by reason.
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
        """The manifest with the pictures of `labels` moved to quarantine."""
        out = pl.col("label").is_in(labels)
        moved = self.table.filter(out).select("path", pl.lit(reason).alias("reason"))
        quarantine = pl.concat([self.quarantine, moved]).sort("path")
        return Manifest(self.root, self.table.filter(~out), quarantine, self.ignored)


def natural_classes(labels: pl.Series) -> list[str]:
    """The different labels in natural order: `2` before `10`."""
    return sorted(labels.unique().to_list(), key=natural_key)


def read_manifest(
    listing: Listing, progress: Progress | None = None, cache: FactCache | None = None
) -> Manifest:
    """Read every listed picture on all cores, and decode those that were not seen before.

    Args:
        listing: the labelled pictures.
        progress: told how many pictures are read.
        cache: what is known of pictures; None: the one in the user's cache folder.

    Raises:
        DataError: not one of the pictures can be decoded.
        BestiaryError: the cache's folder cannot be written.
    """
    manifest = read_listed(listing, progress, cache or FactCache(cache_folder()))
    if manifest.table.is_empty():
        count, first = listing.table.height, manifest.quarantine.row(0)
        raise DataError(
            f"{listing.root}: none of its {count} pictures can be decoded; first: {first}"
        )
    return manifest


def read_listed(listing: Listing, progress: Progress | None, cache: FactCache) -> Manifest:
    """As `read_manifest`, but labels may be null, and it may be that no picture is there.

    Raises:
        BestiaryError: the cache's folder cannot be written.
    """
    paths = listing.table["path"].to_list()
    order = reading_order(listing.root, paths)
    read = cache.read([listing.root / paths[row] for row in order], progress)
    facts = [read[place] for place in np.argsort(order)]
    reasons = [
        (path, fact.reason)
        for path, fact in zip(paths, facts, strict=True)
        if fact.reason is not None
    ]
    quarantine = pl.DataFrame(
        [*listing.unusable, *reasons], schema={"path": pl.String, "reason": pl.String}, orient="row"
    ).sort("path")
    good = pl.Series([fact.reason is None for fact in facts], dtype=pl.Boolean)
    found = [
        (f.length, f.height, f.width, f.digest, f.pixels, doubt_about(path, f), None, False)
        for path, f in zip(paths, facts, strict=True)
        if f.reason is None
    ]
    added = {name: kind for name, kind in SCHEMA.items() if name not in listing.table.columns}
    table = listing.table.filter(good).hstack(pl.DataFrame(found, schema=added, orient="row"))
    return Manifest(listing.root.resolve(), table, quarantine, listing.ignored)
