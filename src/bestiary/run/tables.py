"""TODO run.tables"""

from pathlib import Path
from typing import Any

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.errors import DamagedError, one_line
from bestiary.renamed import renamed_column
from bestiary.run.layout import FOLDS, MANIFEST, TARGETS
from bestiary.tables import (
    LEAVING,
    TableError,
    foreign_table,
    guard,
    read_frame,
    unguard,
)

TEXT = pl.String()
TABLES: dict[str, dict[str, Any]] = {
    MANIFEST: {
        **dict.fromkeys(("path", "label", "group", "sha256", "duplicate_group"), TEXT),
        **dict.fromkeys(("height", "width"), pl.Int32()),
        "label_conflict": pl.Boolean(),
    },
    FOLDS: {"path": TEXT, "fold": pl.Int64()},
    TARGETS: {"path": TEXT},
}
OPTIONAL = (
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
    """Write a table whole or not at all: CSV or Parquet by its name, Parquet with `metadata`."""
    with atomic_path(file) as temporary:
        if file.suffix == ".csv":
            guard(table).write_csv(temporary)
        else:
            table.write_parquet(temporary, metadata=metadata)


def read_table(file: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """A run's table, which must have the columns of `schema` (name -> type), filled in but for
    those in `OPTIONAL`.

    Raises:
        DamagedError: it is missing, no table, or another one.
    """
    try:
        table = (
            read_frame(file)
            if file.suffix == ".parquet"
            else unguard(read_frame(file, infer_schema=False))
        )
        renamed = renamed_column(table.columns, list(schema))
        if renamed:
            raise TableError(renamed)
        with foreign_table():
            table = table.with_columns(pl.col(name).cast(kind) for name, kind in schema.items())
        empty = [name for name in schema if name not in OPTIONAL and table[name].null_count()]
        if empty:
            raise TableError(f"its column {empty[0]} has gaps")
        if "path" in schema and table["path"].str.contains(LEAVING).any():
            raise TableError("a path in it leads out of the folder of the images")
        return table
    except FileNotFoundError:
        raise DamagedError(
            f"{file}: is missing; go on with bestiary train DATA {file.parent} --resume"
        ) from None
    except (OSError, TableError) as error:
        raise DamagedError(f"{file}: cannot be read ({one_line(error)})") from None
