"""Results -> the section on the data: what it holds, what was found, sizes, groups, samples."""

from typing import Any

import numpy as np
import polars as pl

from bestiary.evaluation.results import Results
from bestiary.numbers import count, percent, percent_range
from bestiary.printable import printable_name
from bestiary.reporting.shapes import shape_charts
from bestiary.run.layout import FIXES, NEAR_DUPLICATES, QUARANTINE, WARNINGS
from bestiary.run.tables import count_rows
from bestiary.stats.intervals import share_interval

MAX_GROUPS = 30  # rows of the table of groups
MIN_GROUP = 5  # images: fewer say nothing about a group


def audit_rows(results: Results) -> list[tuple[str, int, str]]:
    """Summarize the audit of the data.

    Args:
        results: the results of a run.

    Returns:
        Rows of finding, count, and the file that lists the images.
    """
    run = results.run
    manifest = results.snapshot.manifest
    duplicates = manifest.filter(pl.col("duplicate_group").is_not_null())
    groups = duplicates["duplicate_group"].n_unique()
    conflicts = int(manifest["label_conflict"].sum())
    return [
        ("files that could not be used", count_rows(run.file(QUARANTINE)), QUARANTINE),
        (
            "images with a quality warning, used as they are",
            count_rows(run.file(WARNINGS)),
            WARNINGS,
        ),
        (
            f"near duplicates, of {groups:,} originals" if groups else "near duplicates",
            duplicates.height,
            NEAR_DUPLICATES,
        ),
        ("images with a label conflict, never scored", conflicts, NEAR_DUPLICATES),
        ("labels decided by a person", count_rows(run.file(FIXES)), FIXES),
    ]


def data_section(results: Results) -> dict[str, Any]:
    """Describe the data.

    Args:
        results: the results of a run.

    Returns:
        text, found (rows of the audit that are not zero), clean (a sentence on the others), and
        groups (rows of the table of groups, or None), and shapes (histograms of sizes).
    """
    rows = audit_rows(results)
    zeros = [what for what, number, _ in rows if not number]
    clean = f"None of these: {'; '.join(zeros)}." if zeros else ""
    return {
        "text": data_text(results),
        "found": [(what, f"{number:,}", file) for what, number, file in rows if number],
        "clean": clean,
        "groups": _group_rows(results),
        "shapes": shape_charts(results.table),
    }


def data_text(results: Results) -> str:
    """Describe the data: classes, images, sizes, near duplicates.

    Args:
        results: the results of a run.

    Returns:
        Some sentences.
    """
    per_class = np.bincount(results.labels)
    sizes = per_class[per_class > 0]
    used = results.snapshot.manifest.height
    spread = (
        f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
    )
    text = (
        f"{count(len(results.classes), 'class', 'classes')}, {count(used, 'labeled image')}; "
        f"{spread} images of a class are scored. {_size_text(results)}"
    )
    duplicates = results.table["duplicate_group"].drop_nulls()
    if len(duplicates):
        text += (
            f" {count(duplicates.n_unique(), 'group')} of near duplicates were found; each group "
            f"stays in one fold, so that no image is judged by a member that has seen its copy."
        )
    return text


def _size_text(results: Results) -> str:
    """The usual size of the images, and how far sizes differ."""
    sides = results.table.select(
        short=pl.min_horizontal("height", "width").cast(pl.Float64),
        long=pl.max_horizontal("height", "width").cast(pl.Float64),
    )
    short = sides["short"].to_numpy()
    middle = np.median(short)
    low, high = np.quantile(short, [0.05, 0.95])
    return (
        f"Half of the images have a short side of {middle:.0f} pixels or more; nine in ten lie "
        f"between {low:.0f} and {high:.0f}."
    )


def _group_rows(results: Results) -> list[tuple[str, str, str, str]] | None:
    """Accuracy of each group of the data (site, camera, individual), weakest first."""
    names = results.table["group"]
    if names.null_count() == len(names) or names.drop_nulls().n_unique() < 2:
        return None
    table = pl.DataFrame({"group": names, "row": np.arange(len(names))}).drop_nulls()
    rows = []
    for (name,), part in table.group_by("group", maintain_order=True):
        members = part["row"].to_numpy()
        if len(members) >= MIN_GROUP:
            share = share_interval(results.hits[members])
            rows.append((share.value, str(name), share))
    rows.sort(key=lambda row: row[:2])
    return [
        (
            printable_name(name),
            f"{share.n:,}",
            percent(share.value),
            percent_range(share.low, share.high),
        )
        for _, name, share in rows[:MAX_GROUPS]
    ] or None
