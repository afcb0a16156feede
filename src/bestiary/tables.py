"""Read CSV and Parquet files of unknown origin; whatever goes wrong is one kind of error.

A table may come from a stranger. Damaged bytes make polars fail in many ways, a panic of its Rust
core included: here all of them become `TableError`. Text that a spreadsheet would run as a formula
is escaped in CSV. Knows nothing of what the columns mean.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from bestiary.errors import one_line

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

UNSAFE_PATH = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|\x00"
"""Matches a path that may lead out of its folder: absolute, with a drive, ``..`` or a null byte."""


class TableError(ValueError):
    """A file is not a table, or lacks a column; the message is a short reason."""


def read_frame(file: Path, **options: Any) -> pl.DataFrame:
    """Read a table.

    Args:
        file: a .parquet file; any other name is read as CSV.
        options: passed to polars.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a table.
    """
    with table_errors():
        if file.suffix.lower() == ".parquet":
            return pl.read_parquet(file, **options)
        return pl.read_csv(file, **options)


def read_metadata(file: Path) -> dict[str, str]:
    """Read the metadata of a .parquet file.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a Parquet file.
    """
    with table_errors():
        return pl.read_parquet_metadata(file)


def escape_formulas(table: Frame) -> Frame:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Names of classes and files may come from a stranger. See OWASP, "CSV Injection".

    Args:
        table: the table to be written as CSV.

    Example:
        >>> escape_formulas(pl.DataFrame({"label": ["=1+1", "lynx", "-1.5"]}))["label"].to_list()
        ["'=1+1", 'lynx', '-1.5']
    """
    text = pl.col(pl.String)
    is_number = text.str.contains(r"^[+-][0-9.]+(e[+-]?[0-9]+)?$")
    is_formula = text.str.contains(r"^[=@\t\r]") | (text.str.contains(r"^[+-]") & ~is_number)
    escaped = pl.lit("'") + text
    return table.with_columns(pl.when(is_formula).then(escaped).otherwise(text).name.keep())


def unescape_formulas(table: pl.DataFrame) -> pl.DataFrame:
    """Undo `escape_formulas`."""
    text = pl.col(pl.String)
    return table.with_columns(text.str.replace(r"^'([=@\t\r+-])", "$1"))


@contextmanager
def table_errors() -> Iterator[None]:
    """Turn every failure of polars inside the block into a `TableError`.

    Raises:
        FileNotFoundError: passed on as it is.
        TableError: polars failed, in whatever way.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, MemoryError, pl.exceptions.PolarsError) as error:
        raise TableError(one_line(error, 120)) from None
    except BaseException as error:
        # A panic of the Rust core is a BaseException, not an Exception.
        if isinstance(error, pl.exceptions.PanicException):
            raise TableError("its bytes make no sense") from None
        raise
