"""A CSV or Parquet file -> a table, or one error with a short reason. Knows nothing of what the
columns mean.

A table may come from a stranger: whatever the library makes of damaged bytes, panics of its native
part included, is one kind of error here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from bestiary.errors import one_line

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class TableError(ValueError):
    """A file is no table, or not one with these columns; the message is a short reason."""


def read_frame(file: Path, **options: Any) -> pl.DataFrame:
    """Read a .parquet file, or any other file as CSV; `options` go to polars.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a table.
    """
    with foreign_table():
        return (
            pl.read_parquet(file, **options)
            if file.suffix.lower() == ".parquet"
            else pl.read_csv(file, **options)
        )


def read_note(file: Path) -> dict[str, str]:
    """The metadata of a .parquet file; raises as `read_frame` does."""
    with foreign_table():
        return pl.read_parquet_metadata(file)


def guard(table: Frame) -> Frame:
    """A table for CSV in which no text is a spreadsheet's formula: an apostrophe goes before what
    begins like one.

    Names of classes and files may come from a stranger. See OWASP, CSV injection.
    """
    text = pl.col(pl.String)
    formula = text.str.contains(r"^[=@\t\r]") | (
        text.str.contains(r"^[+-]") & ~text.str.contains(r"^[+-][0-9.]+(e[+-]?[0-9]+)?$")
    )
    return table.with_columns(pl.when(formula).then(pl.lit("'") + text).otherwise(text).name.keep())


def unguard(table: pl.DataFrame) -> pl.DataFrame:
    """A table as it was before `guard`."""
    return table.with_columns(pl.col(pl.String).str.replace(r"^'([=@\t\r+-])", "$1"))


@contextmanager
def foreign_table() -> Iterator[None]:
    """A block that works on a table of unknown making.

    Raises:
        TableError: the library failed, in whatever way.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, MemoryError, pl.exceptions.PolarsError) as error:
        raise TableError(one_line(error, 120)) from None
    except BaseException as error:
        if isinstance(error, pl.exceptions.PanicException):  # which is no Exception
            raise TableError("its bytes make no sense") from None
        raise


LEAVING = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|\x00"  # what a path below a folder never has
