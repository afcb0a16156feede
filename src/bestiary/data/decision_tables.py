"""A table that a person fills in (fixes.csv, not_duplicates.csv) -> its decided rows.

Knows nothing of what is decided.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from bestiary.data.listing_tables import read_table
from bestiary.data.table_values import text_of_column
from bestiary.errors import DataError
from bestiary.tables import TableError, table_errors


def read_decided(
    file: Path, option: str, schema: Mapping[str, type[pl.DataType]], column: str, verb: str
) -> pl.DataFrame:
    """Read the rows of a table in which a person has decided something.

    Args:
        file: The table.
        option: The option that names it, such as ``--fixes``.
        schema: The columns to read, and their types.
        column: The column of decisions; case and spaces do not matter in it.
        verb: What writes such a table, such as ``bestiary labels``.

    Returns:
        Rows with a decision, columns as in `schema`.

    Raises:
        DataError: The file is not such a table.
    """
    if not file.is_file():
        raise DataError(f"{option} {file}: no such file; give the {file.name} that {verb} wrote")
    table = read_table(file)
    for name in schema:
        if name not in table.columns:
            names = ",".join(schema)
            raise DataError(f"{option} {file}: has no column {name!r}; expected {names}")

    columns = []
    for name, kind in schema.items():
        is_text = kind is pl.String
        try:
            with table_errors():
                values = text_of_column(table[name]) if is_text else table[name]
                columns.append(values.cast(kind))
        except TableError:
            content = "text" if is_text else "numbers"
            raise DataError(
                f"{option} {file}: the column {name} must hold {content}; correct or empty it"
            ) from None

    decision = pl.col(column).str.strip_chars().str.to_lowercase()
    decided = pl.DataFrame(columns).with_columns(decision)
    return decided.filter(pl.col(column).fill_null("") != "")
