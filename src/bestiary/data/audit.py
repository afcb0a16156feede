"""What an audit has found, as tables and as lines; finds nothing itself."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from bestiary.data.class_counts import class_lines, count_classes
from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing import TEST_SPLIT, Listing
from bestiary.data.manifest import Manifest, read_listed, read_manifest
from bestiary.data.near_duplicates.grouping import find_near_duplicates, mark_near_duplicates
from bestiary.display import Display
from bestiary.run.tables import write_table


@dataclass(frozen=True)
class Audit:
    """What was found in a data set.

    Attributes:
        manifest: the labeled images outside the test split; its columns copies and conflict are
            filled in.
        test: the readable images of a supplied test split, columns as the manifest's; labels may be
            null.
        quarantine: path and reason of every unusable file, the test split's included.
        classes: label, images and twins of each class, see `count_classes`.
    """

    manifest: Manifest
    test: pl.DataFrame
    quarantine: pl.DataFrame
    classes: pl.DataFrame

    @property
    def images(self) -> pl.DataFrame:
        """The readable images of all splits, sorted by path."""
        return pl.concat([self.manifest.table, self.test]).sort("path")

    @property
    def warnings(self) -> pl.DataFrame:
        """Path and reason of every doubtful image."""
        return self.images.filter(pl.col("warning").is_not_null()).select(
            "path", pl.col("warning").alias("reason")
        )

    @property
    def copies(self) -> pl.DataFrame:
        """Every image that has copies: copies (the group's name), path, label, split, conflict,
        leak.
        """
        test = pl.col("split") == TEST_SPLIT
        across = test.any().over("duplicate_group") & ~test.fill_null(False).all().over(
            "duplicate_group"
        )
        found = self.images.filter(pl.col("duplicate_group").is_not_null()).with_columns(
            across.fill_null(False).alias("leak")
        )
        return found.select(
            "duplicate_group", "path", "label", "split", "label_conflict", "leak"
        ).sort("duplicate_group", "path")

    @property
    def leaks(self) -> pl.DataFrame:
        """The test images that have a copy outside the test split; columns as of `copies`."""
        return self.copies.filter(pl.col("leak") & (pl.col("split") == TEST_SPLIT))

    @property
    def exit_code(self) -> int:
        """1 where something must be settled: unusable files, conflicts or leaks."""
        return int(
            bool(self.quarantine.height or self.leaks.height or self.images["label_conflict"].any())
        )

    def __str__(self) -> str:
        count, classes = self.manifest.table.height, self.classes.height
        held = f", and {self.test.height:,} of a test split" if self.test.height else ""
        head = f"{self.manifest.root}: {count:,} images of {classes:,} classes{held}"
        return "\n".join([head, *(self.lines() or ["Nothing was found amiss"])])

    def write(self, folder: Path) -> None:
        """Write quarantine.csv, warnings.csv, near_duplicates.csv and classes.csv into `folder`.

        Raises:
            BestiaryError: the folder cannot be written.
        """
        for name in ("quarantine", "warnings", "near_duplicates", "classes"):
            write_table(folder / f"{name}.csv", getattr(self, name))

    def lines(self) -> list[str]:
        """What was found, one line for each kind; none where nothing was."""
        copies, leaks, warnings = self.copies, self.leaks, self.warnings
        conflicts = copies.filter("label_conflict")
        lines = []
        if self.quarantine.height:
            lines.append(
                f"Unusable: {self.quarantine.height:,} files ({_most(self.quarantine['reason'])})"
            )
        if warnings.height:
            lines.append(f"Doubtful: {warnings.height:,} images ({_most(warnings['reason'])})")
        if copies.height:
            groups = copies["duplicate_group"].n_unique()
            lines.append(
                f"Copies: {copies.height:,} images show {groups:,} motifs; copies stay in one fold"
            )
        if conflicts.height:
            groups = conflicts["duplicate_group"].n_unique()
            lines.append(
                f"Conflicts: {conflicts.height:,} images in {groups:,} groups of copies have "
                f"different labels; "
                "they are trained on but never scored"
            )
        if leaks.height:
            of = f"{leaks.height:,} of {self.test.height:,} test images"
            lines.append(f"Leaks: {of} have a copy outside the test split")
        return lines + class_lines(self.classes)


def _most(reasons: pl.Series) -> str:
    """The three kinds of reasons that are given most, with their numbers; a kind is what stands
    before a colon.
    """
    kinds = Counter(
        reason.split(":")[0].split(" (")[0] for joined in reasons for reason in joined.split("; ")
    )
    named = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(3))
    return named + (" ..." if len(kinds) > 3 else "")


def audit_images(listing: Listing, test: Listing, display: Display) -> Audit:
    """Read the images and look for all that this package knows.

    Args:
        listing: the labeled images outside the test split.
        test: the images of a supplied test split, labeled or not; may be empty.
        display: shows how far the work has come.

    Raises:
        DataError: not one labeled image can be decoded.
        BestiaryError: the cache's folder cannot be written.
    """
    cache = ImageInfoCache(cache_folder())
    with display.counter("Reading images") as tick:
        manifest = read_manifest(listing, tick, cache)
    with display.counter("Reading test images") as tick:
        held = read_listed(test, tick, cache)
    table = pl.concat([manifest.table, held.table])
    table = mark_near_duplicates(table, find_near_duplicates(table, cache, display))
    count = manifest.table.height
    return Audit(
        manifest=replace(manifest, table=table[:count]),
        test=table[count:],
        quarantine=pl.concat([manifest.quarantine, held.quarantine]).sort("path"),
        classes=count_classes(manifest.table["label"]),
    )
