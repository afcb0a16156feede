"""A run and new images -> how many there are of each class, corrected for confusion.

Refused where the new images are of another world than the run's (another camera, season, animal):
only the shares of the classes may differ. Reads images without labels, and trains nothing.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.drifting import World, describe_drift
from bestiary.evaluation.new_images import read_new_images
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.numbers import RANGE, count, percent, percent_range, plain_name
from bestiary.recipe.sections import DataOptions
from bestiary.run.run import Run
from bestiary.screen_table import ScreenTable
from bestiary.stats.class_shares import ClassShares, Known, New, estimate_shares
from bestiary.stats.drift import Drift
from bestiary.streams import screen_width

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
        drift: how the logits of the new images differ from the run's.
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
        lines[1:] = [textwrap.fill(line, screen_width()) for line in lines[1:]]
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
    every_fold = read_out_of_fold(run.load()).without_conflicts()
    known = every_fold.scorable()
    new = read_new_images(run, ensemble, images, display, options)
    if new.trained:
        display.notice(f"{count(new.trained, 'image')} left out: the run was trained on them")

    drift = World.of(every_fold).compare(new.logits, new.groups)
    if drift.changed and not despite_drift:
        raise DataError(
            f"count: {describe_drift(drift)}. Counts would be wrong; label some of these images "
            "and train again, or --despite-drift"
        )
    shares = estimate_shares(
        Known(known.logits, known.labels, known.groups), New(new.logits, new.groups)
    )
    labels = ensemble.probabilities(new.logits).argmax(axis=1)
    detector = ensemble.ood
    return ClassCounts(
        table=_table(shares, labels, known.classes),
        shares=shares,
        drift=drift,
        unknown=int(detector.is_unknown(new.logits).sum()) if detector else 0,
        unread=new.unread,
    )


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
