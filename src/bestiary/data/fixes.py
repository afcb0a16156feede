"""A table of decided labels and a listing -> the listing with these labels; nothing in the data
folder is touched.

The table is `fixes.csv` as `bestiary labels` writes it and a person fills it in. Knows nothing of
how suspects are found.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from bestiary.data.listing import Listing, read_table
from bestiary.errors import DataError
from bestiary.tables import TableError, foreign_table, unguard

SCHEMA = {
    "path": pl.String,
    "given": pl.String,  # label in the data folder
    "suggested": pl.String,  # label that relabel gives it
    "score": pl.Float64,  # how well the given label fits, 0 to 1
    "action": pl.String,  # keep, relabel or drop; empty: not decided
}
ACTIONS = ("keep", "relabel", "drop")


def read_fixes(file: Path | None) -> pl.DataFrame:
    """The decided rows of a fixes table, sorted by path, columns as in `SCHEMA`; without a file
    there are none.

    Raises:
        DataError: the file is no such table, or a row of it cannot be followed.
    """
    if file is None:
        return pl.DataFrame(schema=SCHEMA)
    if not file.is_file():
        raise DataError(
            f"--fixes {file}: no such file; give the fixes.csv that bestiary labels has written"
        )
    table = unguard(read_table(file))
    missing = [column for column in SCHEMA if column not in table.columns]
    if missing:
        raise DataError(
            f"--fixes {file}: has no column {missing[0]!r}; expected {','.join(SCHEMA)}"
        )
    try:
        with foreign_table():
            table = table.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    except TableError:
        raise DataError(
            f"--fixes {file}: the column score must hold numbers; mend or empty it"
        ) from None
    table = table.with_columns(pl.col("action").str.strip_chars().str.to_lowercase())
    decided = table.filter(pl.col("action").fill_null("") != "").sort("path")
    odd = decided.filter(~pl.col("action").is_in(ACTIONS))
    if odd.height:
        path, action = odd.select("path", "action").row(0)
        raise DataError(
            f"--fixes {file}: action {action!r} of {path}: must be {', '.join(ACTIONS)} or empty"
        )
    blank = decided.filter(
        (pl.col("action") == "relabel") & (pl.col("suggested").fill_null("") == "")
    )["path"]
    if len(blank):
        raise DataError(
            f"--fixes {file}: {blank[0]} is to be relabeled and has no suggested label; fill it in"
        )
    twice = decided.filter(pl.col("path").is_duplicated())["path"]
    if len(twice):
        raise DataError(
            f"--fixes {file}: names {twice[0]} more than once; keep one row for each image"
        )
    return decided


def apply_fixes(listing: Listing, fixes: pl.DataFrame) -> Listing:
    """The listing with images relabeled or left out as `fixes` (see `read_fixes`) says.

    Raises:
        DataError: an image is not in the listing, or has another label than the fixes were made
            for.
    """
    joined = fixes.join(
        listing.table.select("path", "label"), on="path", how="left", maintain_order="left"
    )
    gone = joined.filter(pl.col("label").is_null())["path"]
    if len(gone):
        raise DataError(
            f"--fixes: {gone[0]} is not among the images; the fixes were made for other data"
        )
    moved = joined.filter(pl.col("label") != pl.col("given").fill_null(""))
    if moved.height:
        path, label, given = moved.select("path", "label", "given").row(0)
        raise DataError(
            f"--fixes: {path} is labeled {label!r} now and was {given!r}; make the fixes anew"
        )
    relabeled = fixes.filter(action="relabel").select("path", "suggested")
    dropped = fixes.filter(action="drop")["path"].to_list()
    table = (
        listing.table.join(relabeled, on="path", how="left", maintain_order="left")
        .with_columns(pl.coalesce("suggested", "label").alias("label"))
        .drop("suggested")
        .filter(~pl.col("path").is_in(dropped))
    )
    unusable = [*listing.unusable, *((path, "dropped by --fixes") for path in dropped)]
    return replace(listing, table=table, unusable=unusable)
