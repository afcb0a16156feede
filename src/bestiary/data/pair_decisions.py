"""A table of pairs (not_duplicates.csv) -> the pairs that a person says are no near duplicates.

`bestiary scan --out` writes the table with every proved pair, and a person fills in its column
decision. It is a table of its own, since fixes.csv has a row for an image and this one for a pair.
Knows nothing of how pairs are found.
"""

from pathlib import Path

import polars as pl

from bestiary.data.decision_tables import read_decided
from bestiary.errors import DataError
from bestiary.printable import shell_name

SCHEMA = {
    "path": pl.String,
    "other": pl.String,  # the path of its near duplicate
    "differences": pl.String,  # how the two differ, in words
    "probability": pl.Float64,  # that the two are near duplicates
    "decision": pl.String,  # no: they are none; yes or empty: they are
}
DECISIONS = ("no", "yes")
OPTION = "--not-duplicates"


def read_decisions(file: Path | None) -> pl.DataFrame:
    """Read the decided rows of a table of pairs.

    Args:
        file: The table; None: nothing is decided.

    Returns:
        Rows with a decision, columns path, other and decision.

    Raises:
        DataError: The file is not such a table, or has an unknown decision.
    """
    schema = {name: SCHEMA[name] for name in ("path", "other", "decision")}
    if file is None:
        return pl.DataFrame(schema=schema)
    decided = read_decided(file, OPTION, schema, "decision", "bestiary scan --out")
    unknown = decided.filter(~pl.col("decision").is_in(DECISIONS))
    if unknown.height:
        path, other, word = unknown.row(0)
        raise DataError(
            f"{OPTION} {file}: decision {word!r} of {path} and {other}: must be "
            f"{' or '.join(DECISIONS)} or empty"
        )
    _check_consistent(file, decided)
    return decided


def _check_consistent(file: Path, decided: pl.DataFrame) -> None:
    """Refuse two decisions for one pair, whichever of its images is named first."""
    ends = [pl.min_horizontal("path", "other"), pl.max_horizontal("path", "other").alias("second")]
    n_decisions = decided.group_by(ends).agg(pl.col("decision").n_unique())
    unclear = n_decisions.filter(pl.col("decision") > 1).sort("path")
    if unclear.height:
        path, other, _ = unclear.row(0)
        raise DataError(f"{OPTION} {file}: {path} and {other} have both yes and no; keep one row")


def denied_pairs(decisions: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """Select the pairs that are no near duplicates, and check that the images are there.

    Args:
        decisions: As from `read_decisions`.
        images: The column path of all images.

    Raises:
        DataError: A path is not among the images.
    """
    denied = decisions.filter(pl.col("decision") == "no").select("path", "other")
    named = pl.concat([denied["path"], denied["other"].alias("path")])
    absent = named.filter(~named.is_in(images["path"].to_list()))
    if len(absent):
        raise DataError(
            f"{OPTION}: {absent[0]} is not among the images; the decisions were made for other data"
        )
    return denied


def check_replaceable(file: Path, given: Path | None) -> None:
    """Refuse to write over a table whose decisions were not given.

    Args:
        file: The table that is about to be written.
        given: The table whose decisions are carried over; None: there is none.

    Raises:
        DataError: `file` has decisions, and is not `given`.
    """
    if not file.is_file() or (given is not None and given.resolve() == file.resolve()):
        return
    if read_decisions(file).height:
        raise DataError(
            f"{file}: has decisions; follow them with {OPTION} {shell_name(file)}, or choose "
            f"another folder with --out"
        )
