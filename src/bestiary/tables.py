"""Read CSV and Parquet files of unknown origin; whatever goes wrong is one kind of error.

A table may come from a stranger. Damaged bytes make polars fail in many ways, a panic of its Rust
core included: here all of them become `TableError`. Text that a spreadsheet would run as a formula
is escaped in CSV. Knows nothing of what the columns mean.
"""

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from bestiary.errors import ArgumentError, one_line
from bestiary.parquet_limits import check_parquet
from bestiary.regular_files import MAX_CSV_BYTES, MAX_TABLE_BYTES, check_regular, read_regular

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

SEPARATORS = (",", ";", "\t", "|")  # of columns in a text table, the usual one first
UNSAFE_PATH = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|\x00"
"""Matches a path that may lead out of its folder: absolute, with a drive, ``..`` or a null byte."""


MAX_HEADER_BYTES = 1 << 16  # of the names of columns in a text table; each column takes memory


class TableError(ValueError):
    """A file is not a table, or lacks a column; the message is a short reason."""


def read_frame(file: Path, **options: Any) -> pl.DataFrame:
    """Read a table. What it claims to hold is checked before memory is taken for it.

    Args:
        file: a .parquet file; any other name is read as CSV.
        options: passed to polars.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a table, or too large for one.
    """
    with table_errors():
        if file.suffix.lower() == ".parquet":
            check_table(file)
            return pl.read_parquet(file, **options)
        content = read_regular(file, MAX_CSV_BYTES)
        _check_header(content)
        return pl.read_csv(content, **options)


def check_table(file: Path) -> None:
    """Check that a .parquet file is a regular file, and claims no more than it can hold.

    Args:
        file: to check.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it claims too much.
    """
    check_regular(file, MAX_TABLE_BYTES)
    check_parquet(file)


def _check_header(content: bytes) -> None:
    """Refuse a CSV whose names of columns do not end, or lie in a quote that does not."""
    unquoted = re.sub(rb'"[^"]*"', b"", content[:MAX_HEADER_BYTES])
    header, newline, _ = unquoted.partition(b"\n")
    is_whole = newline or len(content) < MAX_HEADER_BYTES
    if b'"' in header or not is_whole:
        raise TableError("its first line has no end")


def read_text_table(file: Path) -> pl.DataFrame:
    """Read a table of text as people and spreadsheets write them, every column as text.

    Takes UTF-8 and UTF-16 with a byte order mark; columns between commas, semicolons, tabs or bars;
    a first line ``sep=;`` as Excel writes it. Spaces around the names of columns are removed.

    Args:
        file: the table.

    Raises:
        OSError: the file cannot be read.
        TableError: it is not such a table.
    """
    whole = _decode_text(read_regular(file, MAX_CSV_BYTES))
    first_line, _, rest = whole.partition("\n")
    separator = _declared_separator(first_line)
    content = rest if separator else whole
    lines = (line for line in content.splitlines() if line.strip())
    separator = separator or _frequent_separator(next(lines, ""))
    content = content.lstrip("\r\n ")
    n_above = whole.count("\n") - content.count("\n")
    with table_errors():
        encoded = content.encode()
        _check_header(encoded)
        try:
            table = pl.read_csv(encoded, separator=separator, infer_schema=False)
        except pl.exceptions.ComputeError:
            _name_bad_line(content, separator, n_above)
            raise
    names = [name.strip() for name in table.columns]
    if len(set(names)) == len(names):
        table.columns = names
    return table


def _name_bad_line(content: str, separator: str, n_above: int) -> None:
    """Refuse a text that is no table, with the number of the line where this shows, if any.

    Args:
        content: From the line with the names of columns on.
        separator: Of its columns.
        n_above: Lines of the file above it.
    """
    lines = [f"{line}\n" for line in content.split("\n")]
    rows = csv.reader(lines, delimiter=separator)
    try:
        n_names = len(next(rows, []))
        for row in rows:
            if len(row) > n_names:
                raise TableError(
                    f"line {n_above + rows.line_num} has {len(row)} columns, and {n_names} have a "
                    f"name: put text that holds {separator!r} in quotes, or name all columns"
                )
    except csv.Error:  # such as a field of 128 KiB
        pass
    for number, line in enumerate(lines, n_above + 1):
        if line.count('"') % 2:
            raise TableError(
                f'line {number} has a quote (") that does not end: double it where it is text, and '
                "put all of that text in quotes"
            )


def plain_column(name: str) -> str:
    """The name of a column in small letters, without spaces around it and as it is in its file.

    Polars reads a second column of one name under another one.

    Example:
        >>> plain_column(" Label"), plain_column("label_duplicated_0")
        ('label', 'label')
    """
    return re.sub(r"_duplicated_[0-9]+$", "", name).strip().casefold()


def _decode_text(content: bytes) -> str:
    """Decode a text file by its byte order mark; without one it must be UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TableError(
            f"line {line} is not in {encoding.removesuffix('-sig').upper()}: save it as CSV UTF-8"
        ) from None
    if "\n" not in text:  # "CSV (Macintosh)" of Excel
        text = text.replace("\r", "\n")
    if "\0" in text.partition("\n")[0]:
        raise TableError("it holds null characters, as UTF-16 does: save it as CSV UTF-8")
    return text


def _declared_separator(line: str) -> str:
    """Read the separator of a line such as ``sep=;``; empty if it is another line."""
    match = re.fullmatch(r"sep=(.)\s*", line.rstrip("\r"), re.IGNORECASE)
    return match.group(1) if match else ""


def _frequent_separator(header: str) -> str:
    """Choose the separator that splits the header into the most columns; a comma if none does."""
    outside_quotes = re.sub(r'"[^"]*"', "", header)
    counts = {separator: outside_quotes.count(separator) for separator in SEPARATORS}
    return max(SEPARATORS, key=counts.__getitem__)


def read_metadata(file: Path) -> dict[str, str]:
    """Read the metadata of a .parquet file.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a Parquet file.
    """
    with table_errors():
        check_table(file)
        return pl.read_parquet_metadata(file)


def escape_formulas(table: Frame) -> Frame:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Names of classes and files may come from a stranger. See OWASP, "CSV Injection". Text that
    looks escaped already gets one more apostrophe, so that `unescape_formulas` undoes it exactly.

    Args:
        table: the table to be written as CSV.

    Example:
        >>> escape_formulas(pl.DataFrame({"label": ["=1+1", "lynx", "-1.5"]}))["label"].to_list()
        ["'=1+1", 'lynx', '-1.5']
    """
    text = pl.col(pl.String)
    is_number = text.str.contains(r"^[+-][0-9.]+(e[+-]?[0-9]+)?$")
    is_formula = text.str.contains(r"^'*[=@\t\r+-]") & ~is_number
    escaped = pl.lit("'") + text
    return table.with_columns(pl.when(is_formula).then(escaped).otherwise(text).name.keep())


def unescape_formulas(table: pl.DataFrame) -> pl.DataFrame:
    """Undo `escape_formulas`."""
    text = pl.col(pl.String)
    return table.with_columns(text.str.replace(r"^'('*[=@\t\r+-])", "$1"))


def check_suffix(option: str, file: Path, suffixes: Sequence[str]) -> None:
    """Refuse the name of a table to write that has another suffix.

    Args:
        option: that names the file, such as ``--out``.
        file: the table.
        suffixes: that it may have, in small letters; capitals are taken too.

    Raises:
        ArgumentError: it has none of them.
    """
    if file.suffix.lower() not in suffixes:
        raise ArgumentError(f"{option} {file}: must be the name of a {' or '.join(suffixes)} file")


def check_new_table(option: str, file: Path, suffixes: Sequence[str]) -> None:
    """Refuse to write a table over a file: it may be the user's own, or hold a person's work.

    Args:
        option: that names the file, such as ``--out``.
        file: the table.
        suffixes: see `check_suffix`.

    Raises:
        ArgumentError: there is such a file, or its name has another suffix.
    """
    check_suffix(option, file, suffixes)
    if file.exists():
        raise ArgumentError(f"{option} {file}: exists, and is not overwritten; choose another name")


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
