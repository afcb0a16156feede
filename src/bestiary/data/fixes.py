"""A table of label fixes (fixes.csv) and a listing -> the listing with images relabeled or dropped.

`bestiary labels` writes the table and a person fills it in. Nothing in the data folder changes.
Knows nothing of the search for label issues.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from bestiary.data.decision_tables import read_decided
from bestiary.data.listing_types import Listing
from bestiary.errors import DataError

SCHEMA = {
    "path": pl.String,
    "given": pl.String,  # label in the data folder
    "suggested": pl.String,  # label that relabel gives it
    "score": pl.Float64,  # how well the given label fits, 0 to 1
    "action": pl.String,  # keep, relabel or drop; empty: not decided
}
ACTIONS = ("keep", "relabel", "drop")


def read_fixes(file: Path | None) -> pl.DataFrame:
    """Read the decided rows of a fixes table.

    Args:
        file: The table; None: there are no fixes.

    Returns:
        Rows with an action, sorted by path, columns as in `SCHEMA`.

    Raises:
        DataError: The file is not such a table, or a row cannot be applied.
    """
    if file is None:
        return pl.DataFrame(schema=SCHEMA)
    decided = read_decided(file, "--fixes", SCHEMA, "action", "bestiary labels").sort("path")
    # A person types these: as names of folders, they are the same with a space or another accent.
    names = pl.col("suggested").str.normalize("NFC").str.strip_chars()
    decided = decided.with_columns(names)
    _check_decisions(file, decided)
    return decided


def apply_fixes(listing: Listing, fixes: pl.DataFrame) -> Listing:
    """Relabel or leave out images.

    Args:
        listing: The images.
        fixes: Decisions as from `read_fixes`.

    Returns:
        The listing with new labels; dropped images are among its unusable files.

    Raises:
        DataError: An image is not in the listing, or has another label than the fixes were made
            for.
    """
    _check_same_data(listing, fixes)
    relabeled = fixes.filter(action="relabel").select("path", "suggested")
    dropped = fixes.filter(action="drop")["path"].to_list()

    label = pl.coalesce("suggested", "label")
    is_dropped = pl.col("path").is_in(dropped)
    table = (
        listing.table.join(relabeled, on="path", how="left", maintain_order="left")
        .with_columns(label.alias("label"))
        .drop("suggested")
        .filter(~is_dropped)
    )

    unusable = list(listing.unusable)
    for path in dropped:
        unusable.append((path, "dropped by --fixes"))
    return replace(listing, table=table, unusable=unusable)


def _check_decisions(file: Path, decided: pl.DataFrame) -> None:
    """Refuse unknown actions, relabeling without a label, and repeated paths."""
    is_known = pl.col("action").is_in(ACTIONS)
    unknown = decided.filter(~is_known)
    if unknown.height:
        path, action = unknown.select("path", "action").row(0)
        raise DataError(
            f"--fixes {file}: action {action!r} of {path}: must be {', '.join(ACTIONS)} or empty"
        )

    is_relabel = pl.col("action") == "relabel"
    has_no_label = pl.col("suggested").fill_null("") == ""
    blank = decided.filter(is_relabel & has_no_label)["path"]
    if len(blank):
        raise DataError(
            f"--fixes {file}: {blank[0]} is to be relabeled and has no suggested label; fill it in"
        )

    is_repeated = pl.col("path").is_duplicated()
    repeated = decided.filter(is_repeated)["path"]
    if len(repeated):
        raise DataError(
            f"--fixes {file}: names {repeated[0]} more than once; keep one row for each image"
        )


def _check_same_data(listing: Listing, fixes: pl.DataFrame) -> None:
    """Refuse fixes for images that are absent or have another label now."""
    labels = listing.table.select("path", "label")
    joined = fixes.join(labels, on="path", how="left", maintain_order="left")
    is_absent = pl.col("label").is_null()
    absent = joined.filter(is_absent)["path"]
    if len(absent):
        raise DataError(
            f"--fixes: {absent[0]} is not among the images; the fixes were made for other data"
        )

    is_changed = pl.col("label") != pl.col("given").fill_null("")
    changed = joined.filter(is_changed)
    if changed.height:
        path, label, given = changed.select("path", "label", "given").row(0)
        raise DataError(
            f"--fixes: {path} is labeled {label!r} now and was {given!r}; make the fixes again"
        )
