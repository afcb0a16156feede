"""A run and new images -> how many there are of each class, corrected for confusion.

Refused where the new images are of another world than the run's (another camera, season, animal):
only the shares of the classes may differ. Reads images without labels, and trains nothing.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.eval_view import white_of
from bestiary.data.folds import join_groups
from bestiary.data.image_info_cache import open_cache
from bestiary.data.left_out import describe_left_out
from bestiary.data.listing import group_by_path, list_images
from bestiary.data.listing_types import Listing
from bestiary.data.manifest import Manifest, read_listing
from bestiary.data.scenes import find_scenes, join_scenes
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.drifting import World, describe_drift
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.evaluation.unseen import Logits, member_logits
from bestiary.numbers import RANGE, count, percent, percent_range, plain_name
from bestiary.printable import place_name
from bestiary.recipe.sections import DataOptions
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.screen_table import ScreenTable
from bestiary.stats.class_shares import ClassShares, Known, New, estimate_shares
from bestiary.stats.drift import Drift

WIDTH = 80  # columns of a terminal
MAX_SHOWN = 40  # classes of the printed table
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ClassCounts:
    """How many of each class there are among new images; prints as a table.

    Attributes:
        table: one row a class. The column labeled counts images that have the label. The columns
            images, low and high are the estimate for these images and its 95 % interval. Share,
            share_low and share_high are of where the images are a sample of; adjusted_share is by
            adjusted counts.
        shares: the estimate behind it.
        drift: how the new images differ from the run's, as `bestiary drift` tests it.
        unknown: images that the run calls unknown.
        unread: images that could not be read.
        file: where the table was written; None: nowhere.
    """

    table: pl.DataFrame
    shares: ClassShares
    drift: Drift
    unknown: int
    unread: int
    file: Path | None = None

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "images": self.shares.images,
            "groups": self.shares.groups,
            "classes": self.table,
            "drift": self.drift,
            "unknown": self.unknown,
            "unread": self.unread,
            "file": self.file,
        }

    @property
    def exit_code(self) -> int:
        """1 when some images could not be read."""
        return int(self.unread > 0)

    def __str__(self) -> str:
        interval = "95 % interval"
        table = ScreenTable("class", "labeled", "images", interval, "share", interval)
        shown = self.table.sort("images", descending=True).head(MAX_SHOWN)
        for row in shown.iter_rows(named=True):
            table.add_row(
                plain_name(row["class"]),
                f"{row['labeled']:,}",
                f"{row['images']:,.0f}",
                f"{row['low']:,}{RANGE}{row['high']:,}",
                percent(row["share"]),
                percent_range(row["share_low"], row["share_high"]),
            )
        lines = [str(table), *self._lines()]
        if self.table.height > MAX_SHOWN:
            lines.insert(1, f"... and {self.table.height - MAX_SHOWN:,} more; all with --out FILE")
        lines[1:] = [textwrap.fill(line, WIDTH) for line in lines[1:]]
        if self.file:
            lines.append(f"Table: {self.file}")  # not wrapped, so that it can be copied
        return "\n".join(lines)

    def _lines(self) -> list[str]:
        """Say what the numbers rest on."""
        result = self.shares
        lines = [
            f"{count(result.images, 'image')} in {count(result.groups, 'group')}. images: how "
            "many of these there are, labels corrected for confusion. share: of the place and time "
            "that these images are a sample of, so with a wider interval. Assumed: only the "
            "shares of the classes differ from the run's.",
            f"{describe_drift(self.drift)}.",
        ]
        far = np.abs(result.adjusted - result.shares) > np.maximum(
            result.high - result.shares, result.shares - result.low
        )
        if far.any():
            names = [self.table["class"][int(number)] for number in np.flatnonzero(far)[:3]]
            lines.append(
                f"Adjusted counts, which use labels alone, differ by more than the interval for "
                f"{', '.join(map(plain_name, names))}: look at these."
            )
        if self.unknown:
            lines.append(
                f"{count(self.unknown, 'image is', 'images are')} unknown "
                f"({percent(self.unknown / result.images)}; 5 in 100 are expected) and counted "
                "among the classes."
            )
        if self.unread:
            lines.append(f"{count(self.unread, 'image')} could not be read and are not counted.")
        return lines


def count_classes(
    run: Run,
    ensemble: Ensemble,
    images: Sequence[Path],
    options: DataOptions,
    display: Display,
    *,
    despite_drift: bool = False,
) -> ClassCounts:
    """Count the images of each class.

    Args:
        run: a run whose folds have all ended.
        ensemble: its ensemble.
        images: folders, tables or images.
        options: `root` of a table's paths.
        display: shows progress, and what is left out.
        despite_drift: count even where the images are of another world.

    Returns:
        The counts.

    Raises:
        DataError: there is no new image, or they are of another world than the run's.
        RunError: a fold has not ended.
    """
    known = read_out_of_fold(run.load()).scorable()
    read = _read_images(run, images, options, display)
    table = _new_images(run, read, display)
    logits, reasons = member_logits(ensemble, read.root, table, display)
    is_readable = np.ones(table.height, np.bool_)
    is_readable[list(reasons)] = False
    groups = _groups(table)[is_readable]

    drift = _test_drift(known, logits, groups)
    if drift.changed and not despite_drift:
        raise DataError(
            f"count: {describe_drift(drift)}. Counts would be wrong; label some of these images "
            "and train again, or --despite-drift"
        )
    shares = estimate_shares(Known(known.logits, known.labels, known.groups), New(logits, groups))
    labels = ensemble.probabilities(logits).argmax(axis=1)
    detector = ensemble.ood
    return ClassCounts(
        table=_table(shares, labels, known.classes),
        shares=shares,
        drift=drift,
        unknown=int(detector.is_unknown(logits).sum()) if detector else 0,
        unread=len(reasons) + read.quarantine.height,
    )


def _read_images(
    run: Run, images: Sequence[Path], options: DataOptions, display: Display
) -> Manifest:
    """Read the new images, with the groups that the run's recipe finds: a pattern, and bursts."""
    recipe = run.read_recipe()
    listing = _with_pattern(list_images(images, options), recipe.data.group_pattern, display)
    for note in listing.notes:
        display.notice(note)
    cache = open_cache(display)
    with display.counter("Reading images") as tick:
        read = read_listing(listing, tick, cache)
    for line in describe_left_out(read, run_white=white_of(recipe.view)):
        display.notice(line)
    scenes = find_scenes(read.table, cache, recipe.data.burst_seconds)
    return replace(read, table=join_scenes(read.table, scenes))


def _with_pattern(listing: Listing, pattern: str, display: Display) -> Listing:
    if not pattern:
        return listing
    try:
        return group_by_path(listing, pattern)
    except DataError:
        display.notice(
            f"The run's groups ({pattern}) are not in the paths of these images: each image or "
            "burst counts for itself, and intervals may be too narrow"
        )
        return listing


def _new_images(run: Run, read: Manifest, display: Display) -> pl.DataFrame:
    """Leave out the images that the run was trained on, whose answers flatter."""
    is_trained = pl.col("sha256").is_in(run.read_table(MANIFEST)["sha256"].implode())
    table = read.table.filter(~is_trained)
    if table.is_empty():
        raise DataError(
            f"{place_name(read.root)}: the run was trained on all of these images; name new ones"
        )
    n_trained = read.table.height - table.height
    if n_trained:
        display.notice(f"{count(n_trained, 'image')} left out: the run was trained on them")
    return table


def _groups(table: pl.DataFrame) -> Labels:
    """Number the groups: the user's and bursts, and equal bytes."""
    return np.asarray(join_groups(table["group"], table["sha256"]))


def _test_drift(known: OutOfFold, logits: Logits, groups: Labels) -> Drift:
    """Test as the verb `drift` does, by one image of each group."""
    first = np.unique(groups, return_index=True)[1]
    return World.of(known).compare(logits[:, first])


def _table(shares: ClassShares, labels: Labels, classes: Sequence[str]) -> pl.DataFrame:
    low, high = shares.count_intervals
    return pl.DataFrame(
        {
            "class": list(classes),
            "labeled": np.bincount(labels, minlength=len(classes)),
            "images": shares.counts,
            "low": low,
            "high": high,
            "share": shares.shares,
            "share_low": shares.low,
            "share_high": shares.high,
            "adjusted_share": shares.adjusted,
        }
    )
