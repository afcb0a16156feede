"""Read and write the tables of a run, CSV or Parquet, with the columns that each must have."""

from pathlib import Path
from typing import Any

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.errors import DamagedError, one_line
from bestiary.renamed import renamed_column
from bestiary.run.fields import FIELD_BOUNDS, FIELD_SCHEMA
from bestiary.run.layout import FOLDS, MANIFEST, TARGETS, TRAIN_ONLY, UNLABELED
from bestiary.tables import (
    UNSAFE_PATH,
    TableError,
    check_table,
    escape_formulas,
    read_frame,
    table_errors,
    unescape_formulas,
)

TEXT = pl.String()
SCHEMAS: dict[str, dict[str, Any]] = {
    MANIFEST: {
        "path": TEXT,
        "label": TEXT,
        "group": TEXT,
        "sha256": TEXT,
        "duplicate_group": TEXT,
        "height": pl.Int32(),
        "width": pl.Int32(),
        "label_conflict": pl.Boolean(),
    },
    FOLDS: {
        "path": TEXT,
        "fold": pl.Int64(),
    },
    TARGETS: {
        "path": TEXT,
    },
    UNLABELED: {
        "path": TEXT,
    },
}
"""Columns that a run's Parquet tables must have: file name -> column -> type."""
OPTIONAL: dict[str, dict[str, Any]] = {MANIFEST: dict(FIELD_SCHEMA)}
"""Columns that they may have, with gaps."""
BOUNDS: dict[str, tuple[float, float]] = {
    **FIELD_BOUNDS,
    "height": (1, 1e6),
    "width": (1, 1e6),
    "fold": (TRAIN_ONLY, 99),
    "epoch": (0, 1e7),
    "train_loss": (-1e9, 1e9),
    "val_accuracy": (0, 1),
    "images_per_second": (0, 1e9),
    "seconds": (0, 1e10),
    "threads": (0, 1e6),
    "peak_memory_mb": (0, 1e9),
    "energy_wh": (0, 1e12),
    "score": (0, 1),
}
"""Column -> its least and largest value. bestiary writes no others, nor numbers that are none."""
MAX_TEXT_LENGTH = 32_768  # bytes of a path, a label or another text
NULLABLE_COLUMNS = (
    *FIELD_SCHEMA,
    "group",
    "duplicate_group",
    "val_accuracy",
    "val_loss",
    "suggested",
    "score",
    "action",
    "peak_memory_mb",
    "energy_wh",
)


def write_table(file: Path, table: pl.DataFrame, metadata: dict[str, str] | None = None) -> None:
    """Write a table atomically.

    Args:
        file: .csv, or any other name for Parquet.
        table: the rows.
        metadata: for Parquet.
    """
    with atomic_path(file) as temporary:
        if file.suffix == ".csv":
            escape_formulas(table).write_csv(temporary)
        else:
            table.write_parquet(temporary, metadata=metadata)


def read_table(file: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """Read a table of a run and check its columns.

    Args:
        file: .parquet, or any other name for CSV.
        schema: column -> type. Columns outside of `NULLABLE_COLUMNS` must not have gaps.

    Returns:
        All columns of the file, those of `schema` with their types.

    Raises:
        DamagedError: the file is missing, is not a table, or lacks a column.
    """
    try:
        table = _read_any(file)
        renamed = renamed_column(table.columns, list(schema))
        if renamed:
            raise TableError(renamed)
        optional = OPTIONAL.get(file.name, {})
        present = schema | {name: optional[name] for name in table.columns if name in optional}
        with table_errors():
            table = table.with_columns(pl.col(name).cast(kind) for name, kind in present.items())
        _check_values(table, present)
        return table
    except FileNotFoundError:
        raise DamagedError(
            f"{file}: is missing; put it back, or train again in another folder"
        ) from None
    except (OSError, TableError) as error:
        raise DamagedError(f"{file}: cannot be read ({one_line(error)})") from None


def read_columns(file: Path) -> list[str]:
    """Read the names of the columns of a .parquet file.

    Raises:
        DamagedError: the file cannot be read.
    """
    try:
        with table_errors():
            check_table(file)
            return list(pl.read_parquet_schema(file))
    except (OSError, TableError) as error:
        raise DamagedError(f"{file}: cannot be read ({one_line(error)})") from None


def _read_any(file: Path) -> pl.DataFrame:
    if file.suffix == ".parquet":
        return read_frame(file)
    return unescape_formulas(read_frame(file, infer_schema=False))


def _check_values(table: pl.DataFrame, schema: dict[str, Any]) -> None:
    for name in schema:
        if name not in NULLABLE_COLUMNS and table[name].null_count():
            raise TableError(f"its column {name} has gaps")
        _check_bounds(table[name])
    if "path" in schema and table["path"].str.contains(UNSAFE_PATH).any():
        raise TableError("a path in it leads out of the folder of the images")


def _check_bounds(column: pl.Series) -> None:
    if column.dtype == pl.String and (column.str.len_bytes() > MAX_TEXT_LENGTH).any():
        raise TableError(
            f"its column {column.name} has a text of more than {MAX_TEXT_LENGTH:,} bytes"
        )
    if column.name not in BOUNDS:
        return
    least, most = BOUNDS[column.name]
    values = column.drop_nulls()
    if not values.is_between(least, most).all():  # nan included
        raise TableError(f"its column {column.name} has values outside of {least:g} to {most:g}")


def check_unique_paths(file: Path, table: pl.DataFrame) -> None:
    """Refuse a table with two rows of one image: tables that are joined by path would explode.

    Args:
        file: the table's file, for the error.
        table: with the column path.

    Raises:
        DamagedError: a path is there more than once.
    """
    if table["path"].n_unique() < table.height:
        raise DamagedError.foreign(file, "it has more than one row of an image")


def count_rows(file: Path) -> int:
    """Count the rows of a table with a column ``path``; 0 where there is no such file.

    Args:
        file: CSV or Parquet by its name.

    Raises:
        DamagedError: the file cannot be read.
    """
    return read_table(file, {"path": pl.String}).height if file.exists() else 0


def fold_numbers_of(fold_table: pl.DataFrame) -> list[int]:
    """List the numbers of the folds in folds.parquet, in order and without `TRAIN_ONLY`."""
    folds = fold_table.filter(pl.col("fold") != TRAIN_ONLY)["fold"]
    return sorted(folds.unique().to_list())
