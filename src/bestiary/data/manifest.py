"""Listed pictures -> the manifest: what each file holds, and which files are set aside with the reason.

Every picture is read and decoded once, so nothing is trained, or dealt to a fold, that cannot be decoded. Knows
nothing of folds or networks.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.data.decode import decode, read_picture
from bestiary.data.listing import Listing
from bestiary.data.naming import natural_key
from bestiary.errors import DataError, PictureError

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
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The pictures of a run.

    Attributes:
        root: absolute folder that the paths start from.
        table: one row a picture, columns as in `SCHEMA`, sorted by path.
        quarantine: path and reason of each picture that is left out.
        ignored: counts of files that were not taken for pictures, by reason.
    """

    root: Path
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


def read_manifest(listing: Listing, progress: Progress | None = None) -> Manifest:
    """Read and decode every listed picture, on all cores.

    Raises:
        DataError: not one of the pictures can be decoded.
    """
    paths = listing.table["path"].to_list()
    rows: list[tuple[int, int, int, str] | None] = []
    reasons: list[tuple[str, str]] = list(listing.unusable)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Chunks keep the queue of results short, so that memory does not grow with the number of pictures.
        for start in range(0, len(paths), 1024):
            part = paths[start : start + 1024]
            for path, found in zip(part, pool.map(lambda p: _inspect(listing.root / p), part), strict=True):
                if isinstance(found, str):
                    reasons.append((path, found))
                    rows.append(None)
                else:
                    rows.append(found)
                if progress:
                    progress(len(rows), len(paths))
    good = pl.Series([row is not None for row in rows], dtype=pl.Boolean)
    kinds = {name: SCHEMA[name] for name in ("bytes", "height", "width", "digest")}
    facts = pl.DataFrame([row for row in rows if row is not None], schema=kinds, orient="row")
    table = listing.table.filter(good).hstack(facts)
    quarantine = pl.DataFrame(reasons, schema={"path": pl.String, "reason": pl.String}, orient="row").sort("path")
    if table.is_empty():
        raise DataError(f"{listing.root}: none of its {len(paths)} pictures can be decoded; first: {quarantine.row(0)}")
    return Manifest(listing.root.resolve(), table, quarantine, listing.ignored)


def _inspect(path: Path) -> tuple[int, int, int, str] | str:
    """Size in bytes, height, width and digest, or the reason why the picture is left out."""
    try:
        content = read_picture(path)
        height, width = decode(content).shape[:2]
    except PictureError as error:
        return error.reason
    return len(content), height, width, hashlib.sha256(content).hexdigest()
