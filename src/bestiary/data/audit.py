"""Audit a dataset: unusable files, quality warnings, near duplicates, label conflicts and leaks.

Collects the findings of the manifest, near_duplicates and class_counts as tables and lines. Knows
nothing of how each is found.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.class_counts import class_lines, count_classes
from bestiary.data.clocks import describe_clocks
from bestiary.data.events import describe_events, join_events
from bestiary.data.image_info_cache import ImageInfoCache, open_cache
from bestiary.data.left_out import describe_left_out, frequent_reasons
from bestiary.data.listing import DEFAULT_OPTIONS
from bestiary.data.listing_types import Listing
from bestiary.data.manifest import Manifest, read_listing, read_manifest
from bestiary.data.near_duplicates.grouping import find_near_duplicates, mark_near_duplicates
from bestiary.data.near_duplicates.pair_table import describe_pairs
from bestiary.data.pair_decisions import SCHEMA as DECISION_SCHEMA
from bestiary.data.pair_decisions import denied_pairs, read_decisions
from bestiary.data.scenes import find_scenes, join_scenes
from bestiary.data.split_words import TEST
from bestiary.display import Display
from bestiary.numbers import counted
from bestiary.printable import place_name
from bestiary.recipe.sections import DataOptions
from bestiary.run.layout import (
    CLASSES,
    NEAR_DUPLICATES,
    NOT_DUPLICATES,
    QUARANTINE,
    SAME_SCENES,
    WARNINGS,
)
from bestiary.run.tables import write_table

MAX_MEASURED = 2000  # images whose brightness a page shows


@dataclass(frozen=True)
class Audit:
    """The findings of an audit.

    Attributes:
        manifest: The labeled images outside the test split, with duplicate_group and
            label_conflict filled in.
        test: The readable images of a supplied test split, columns as in the manifest; labels may
            be null.
        quarantine: Path and reason of every unusable file, including those of the test split.
        classes: Label, images and similar_names of each class, see `count_classes`.
        pairs: The pairs that make the groups of near duplicates, see `describe_pairs`.
        scenes: Path and scene of each image of a burst, see `find_scenes`.
        decisions: What a person has decided of pairs, see `read_decisions`.
        brightness: Mean gray level (0 to 1) of up to `MAX_MEASURED` images.
        events: How many events there are, in words; empty: none.
        clocks: How many times cannot be right, in words; empty: none.
    """

    manifest: Manifest
    test: pl.DataFrame
    quarantine: pl.DataFrame
    classes: pl.DataFrame
    pairs: pl.DataFrame
    scenes: pl.DataFrame
    decisions: pl.DataFrame
    brightness: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    events: str = ""
    clocks: str = ""

    def with_stated_white(self) -> "Audit":
        """The same audit where the user states what white is, so nothing is assumed of it."""
        return replace(self, manifest=replace(self.manifest, n_deep=0))

    @cached_property
    def images(self) -> pl.DataFrame:
        """The readable images of all splits, sorted by path."""
        images = pl.concat([self.manifest.table, self.test])
        return images.sort("path")

    @property
    def warnings(self) -> pl.DataFrame:
        """Path and reason of every image with a quality warning."""
        has_warning = pl.col("warning").is_not_null()
        reason = pl.col("warning").alias("reason")
        images = self.images.filter(has_warning)
        return images.select("path", reason)

    @cached_property
    def near_duplicates(self) -> pl.DataFrame:
        """Every image that has near duplicates, sorted by group and path.

        Columns: duplicate_group, path, label, split, label_conflict, and leak: whether the group
        has images both in the test split and outside it.
        """
        is_duplicate = pl.col("duplicate_group").is_not_null()
        duplicates = self.images.filter(is_duplicate)

        is_test = pl.col("split") == TEST
        any_test = is_test.any().over("duplicate_group")
        all_test = is_test.fill_null(False).all().over("duplicate_group")
        is_leak = (any_test & ~all_test).fill_null(False)
        table = duplicates.select(
            "duplicate_group",
            "path",
            "label",
            "split",
            "label_conflict",
            is_leak.alias("leak"),
        )
        return table.sort("duplicate_group", "path")

    @property
    def leaks(self) -> pl.DataFrame:
        """The test images with a near duplicate outside the test split, as `near_duplicates`."""
        is_leak = pl.col("leak")
        is_test = pl.col("split") == TEST
        return self.near_duplicates.filter(is_leak & is_test)

    @property
    def pairs_to_decide(self) -> pl.DataFrame:
        """Every pair with its decision so far, columns as in `pair_decisions.SCHEMA`.

        Pairs that were denied make no group any more. They are listed too, so that a decision is
        not lost.
        """
        ends = ["path", "other"]
        pairs = self.pairs.join(self.decisions, on=ends, how="full", coalesce=True)
        return pairs.select(list(DECISION_SCHEMA)).sort(ends)

    @property
    def exit_code(self) -> int:
        """1 if there are unusable files, label conflicts or leaks."""
        has_unusable = bool(self.quarantine.height)
        has_leak = bool(self.leaks.height)
        has_conflict = bool(self.images["label_conflict"].any())
        return int(has_unusable or has_leak or has_conflict)

    def __str__(self) -> str:
        n_images = self.manifest.table.height
        n_classes = self.classes.height
        head = (
            f"{place_name(self.manifest.root)}: {counted(n_images, 'image')} of "
            f"{counted(n_classes, 'class', 'classes')}"
        )
        if self.test.height:
            head += f", and {self.test.height:,} of a test split"
        lines = self.lines()
        # Files that are no images are counted in one line, and are no problem.
        n_ignored_lines = int(bool(self.manifest.ignored) and self.quarantine.is_empty())
        if len(lines) == n_ignored_lines:
            lines.append("No problems found")
        return "\n".join([head, *lines])

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "data": str(self.manifest.root),
            "images": self.manifest.table.height,
            "test_images": self.test.height,
            "findings": self.lines(),
            "classes": self.classes,
            "unusable": self.quarantine,
            "warnings": self.warnings,
            "near_duplicates": self.near_duplicates,
            "leaks": self.leaks,
            "pairs": self.pairs_to_decide,
            "same_scenes": self.scenes,
        }

    def write(self, folder: Path) -> None:
        """Write quarantine.csv, warnings.csv, classes.csv and the tables of near duplicates.

        Args:
            folder: Folder of the tables.

        Raises:
            BestiaryError: The folder cannot be written.
        """
        write_table(folder / QUARANTINE, self.quarantine)
        write_table(folder / WARNINGS, self.warnings)
        write_table(folder / NEAR_DUPLICATES, self.near_duplicates)
        write_table(folder / NOT_DUPLICATES, self.pairs_to_decide)
        write_table(folder / SAME_SCENES, self.scenes)
        write_table(folder / CLASSES, self.classes)

    def lines(self) -> list[str]:
        """One line for each kind of finding, and one that counts the files if some are no images.

        There is none if every file is an image and nothing was found.
        """
        return [
            *self._file_lines(),
            *self._duplicate_lines(),
            *class_lines(self.classes),
        ]

    def _file_lines(self) -> list[str]:
        manifest = replace(self.manifest, quarantine=self.quarantine)
        lines = describe_left_out(manifest, self.test.height)
        warnings = self.warnings
        if warnings.height:
            reasons = frequent_reasons(warnings["reason"])
            lines.append(f"Quality warnings: {counted(warnings.height, 'image')} ({reasons})")
        return lines

    def _duplicate_lines(self) -> list[str]:
        lines = []
        duplicates = self.near_duplicates
        if duplicates.height:
            n_groups = duplicates["duplicate_group"].n_unique()
            lines.append(
                f"Near duplicates: {counted(duplicates.height, 'image')} in "
                f"{counted(n_groups, 'group')}; a group stays in one fold"
            )

        conflicts = duplicates.filter("label_conflict")
        if conflicts.height:
            n_groups = conflicts["duplicate_group"].n_unique()
            lines.append(
                f"Label conflicts: {counted(conflicts.height, 'image')} in "
                f"{counted(n_groups, 'group')} of near duplicates have different labels; they are "
                "trained on but never scored"
            )

        if self.scenes.height:
            n_scenes = self.scenes["scene"].n_unique()
            lines.append(
                f"Same scene: {counted(self.scenes.height, 'image')} in "
                f"{counted(n_scenes, 'burst')} of one camera; a burst stays in one fold (--set "
                "data.burst_seconds=0: not looked for)"
            )

        lines += [line for line in (self.events, self.clocks) if line]

        leaks = self.leaks
        if leaks.height:
            lines.append(
                f"Leaks: {leaks.height:,} of {self.test.height:,} test images have a near "
                f"duplicate outside the test split"
            )
        return lines


def audit_images(
    listing: Listing,
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
    decisions: pl.DataFrame | None = None,
) -> Audit:
    """Read the images of a dataset and run every check on them.

    Args:
        listing: The images of all splits; those of the test split may be unlabeled.
        display: Shows the progress, and what was assumed of the layout.
        options: How long the frames of a burst are apart.
        decisions: What a person has decided of pairs, see `read_decisions`; None: nothing.

    Raises:
        DataError: No labeled image can be decoded, or a decision is of other data.
        BestiaryError: The cache folder cannot be written.
    """
    for note in listing.notes:
        display.line(note)
    cache = open_cache(display)
    with display.counter("Reading images") as tick:
        manifest = read_manifest(listing.outside_test, tick, cache)
    with display.counter("Reading test images") as tick:
        test_manifest = read_listing(listing.test, tick, cache)

    # Search for near duplicates in both splits together, so that leaks show.
    table = pl.concat([manifest.table, test_manifest.table], how="diagonal")
    decisions = read_decisions(None) if decisions is None else decisions
    denied = denied_pairs(decisions, table)
    parts = [(part.root, part.table) for part in (manifest, test_manifest)]
    pairs = find_near_duplicates(parts, cache, display)
    table = mark_near_duplicates(table, pairs, denied)
    scenes = find_scenes(table, cache, options.burst_seconds)
    described = describe_pairs(table, pairs)
    table = join_events(join_scenes(table, scenes), options.event_seconds)

    n_labeled = manifest.table.height
    quarantine = pl.concat([manifest.quarantine, test_manifest.quarantine])
    return Audit(
        manifest=replace(manifest, table=table[:n_labeled]),
        test=table[n_labeled:],
        quarantine=quarantine.sort("path"),
        classes=count_classes(manifest.table["label"]),
        pairs=described,
        scenes=scenes,
        decisions=decisions,
        brightness=_brightness(table["sha256"], cache),
        events=describe_events(table, options.event_seconds),
        clocks=describe_clocks(table),
    )


def _brightness(digests: pl.Series, cache: ImageInfoCache) -> NDArray[np.float64]:
    """Measure the mean gray level (0 to 1) of some images, evenly spread over all."""
    stride = max(1, len(digests) // MAX_MEASURED)
    measured = digests.gather_every(stride).unique(maintain_order=True).to_list()
    means = [thumbs.reshape(len(thumbs), -1).mean(axis=1) for _, thumbs in cache.thumbs(measured)]
    return np.concatenate(means) / 255 if means else np.empty(0)
