"""A user's CSV or Parquet table -> rows of path, label, group and split, checked and normalized.

A table may come from a stranger, so its paths must not leave the folder they start from. Knows
nothing of folders of images.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bestiary.data.file_kinds import SUFFIX_FORMATS
from bestiary.data.folder_layout import quote_names
from bestiary.data.listing_types import LISTING_SCHEMA, DataPath, Listing
from bestiary.data.split_words import split_of_word
from bestiary.data.table_fields import read_fields
from bestiary.data.table_paths import paths_below
from bestiary.data.table_values import clean_text, text_of_column
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.storage.boxes import FRAGMENT, split_path
from bestiary.storage.files import Root, StoredFolder, is_address
from bestiary.tables import (
    TableError,
    plain_column,
    read_frame,
    read_text_table,
    table_errors,
    unescape_formulas,
)

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
NO_SPLIT = ("none", "null")  # words of a split column for: none is known


def is_table(data: DataPath) -> bool:
    """Whether a path or address is named like a table."""
    suffix = Path(str(data)).suffix
    return suffix.lower() in TABLE_SUFFIXES


def read_table(file: Path) -> pl.DataFrame:
    """Read a CSV (every column as text) or Parquet table; rows without any value are dropped.

    The separator of a CSV is recognized, and spaces around the names of columns are removed.

    Raises:
        DataError: The file is neither.
    """
    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            return read_frame(file)
        if suffix in TABLE_SUFFIXES:
            return unescape_formulas(read_text_table(file))
    except (OSError, TableError) as error:
        raise DataError(f"{file}: is not a readable table ({_reason(error)})") from None
    raise DataError(
        f"{file}: is neither a folder nor a .csv, .tsv or .parquet table; save it as one of these"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def read_image_table(
    file: Path, root: Root, *, name: str = "", needs_label: bool = True
) -> Listing:
    """Read a table of images and check its columns and paths.

    Args:
        file: CSV or Parquet table with the columns path and label, and optionally group, split and
            others, see `bestiary.data.table_fields`.
        root: Folder that its paths start from.
        name: Name of the table in errors; empty: its path.
        needs_label: Whether there must be a column label.

    Returns:
        The listing. If the paths are addresses, its root is the deepest folder in the store that
        holds them all.

    Raises:
        DataError: The table cannot be used.
    """
    place = name or str(file)
    read = read_table(file)
    table, notes = _select_columns(place, read, needs_label)
    table = _split_names(table.with_columns(_read_splits(place, table["split"])))

    # Paths that are addresses start from the folder that they share.
    first = table["path"].min()
    last = table["path"].max()
    if _is_stored_path(first) and _is_stored_path(last):
        folder = _common_folder(place, str(first), str(last))
        path_below = pl.col("path").str.slice(len(folder) + 1)
        table = table.with_columns(path_below)
        root = StoredFolder(folder)

    _check_not_empty(place, table)
    table = table.with_columns(paths_below(place, table["path"], root))
    if "box" not in table.columns:
        _check_unique(place, table["path"])
    if isinstance(root, Path):
        _check_some_exist(place, table["path"], root)
    return Listing(root, table.drop("row").sort("path"), notes=notes)


def _select_columns(
    place: str, table: pl.DataFrame, needs_label: bool
) -> tuple[pl.DataFrame, list[str]]:
    """Select the columns of `LISTING_SCHEMA` as text, null where absent.

    Returns:
        The columns, with the number of each row in the column row, and then those of
        `bestiary.data.table_fields`; and what was assumed.
    """
    names = _names_of_columns(place, table)
    required = ("path", "label") if needs_label else ("path",)
    for column in required:
        if column not in names:
            found = ", ".join(table.columns)
            raise DataError(
                f"{place}: has no column {column!r} (found {found}); expected "
                f"path,label[,group][,split]"
            )

    columns = {}
    notes = []
    for name in LISTING_SCHEMA:
        if name not in names:
            columns[name] = pl.Series(name, [None] * table.height, pl.String)
            continue
        try:
            with table_errors():
                text = text_of_column(table[names[name]].rename(name))
                columns[name], lines = clean_text(text, is_path=name == "path")
        except TableError as error:
            raise DataError(
                f"{place}: its columns path, label, group and split must be text ({error})"
            ) from None
        notes += lines

    fields, lines = read_fields(place, table)
    notes += lines
    frame = pl.DataFrame(columns).with_row_index("row", offset=1).hstack(fields)
    is_blank = pl.all_horizontal(pl.col(name).is_null() for name in LISTING_SCHEMA)
    return frame.filter(~is_blank), notes


def _names_of_columns(place: str, table: pl.DataFrame) -> dict[str, str]:
    """Find the columns of `LISTING_SCHEMA`, whatever their case and the spaces around them."""
    names: dict[str, str] = {}
    for column in table.columns:
        plain = plain_column(column)
        if plain not in LISTING_SCHEMA:
            continue
        if plain in names:
            raise DataError(
                f"{place}: has two columns {plain!r} ({names[plain]!r} and {column!r}); rename one"
            )
        names[plain] = column
    return names


def _read_splits(place: str, words: pl.Series) -> pl.Series:
    """Translate the words of a split column; refuse those that are not known."""
    splits: dict[str, str | None] = {}
    unknown = []
    for word in words.drop_nulls().unique():
        if word.casefold() in NO_SPLIT:
            splits[word] = None
            continue
        split = split_of_word(word)
        splits[word] = split
        if split is None:
            unknown.append(word)

    if unknown:
        counts = [
            f"{word!r} ({counted(int((words == word).sum()), 'row')})" for word in sorted(unknown)
        ]
        raise DataError(
            f"{place}: its column split holds {quote_names(counts)}; the known words are train, "
            f"val and test (training, validation, holdout ...), or leave it empty"
        )
    return words.replace_strict(splits, return_dtype=pl.String).alias("split")


def _split_names(table: pl.DataFrame) -> pl.DataFrame:
    """Split names of boxes, as tables of bestiary have them, into path and box."""
    is_box = table["path"].str.contains(FRAGMENT, literal=True).fill_null(False)
    if not is_box.any():
        return table
    parts = [split_path(name) if name else (name, None) for name in table["path"]]
    paths = pl.Series("path", [path for path, _ in parts], pl.String)
    named = pl.Series("box", [None if box is None else str(box) for _, box in parts], pl.String)
    own = table["box"] if "box" in table.columns else pl.lit(None, pl.String)
    return table.with_columns(paths, pl.coalesce(named, own).alias("box"))


def _is_stored_path(path: object) -> bool:
    return isinstance(path, str) and is_address(path)


def _common_folder(place: str, first: str, last: str) -> str:
    """Find the deepest folder above two addresses, and so above all that sort between them."""
    common = shared_start(first.split("/")[:-1], last.split("/")[:-1])
    if len(common) < 3:  # the protocol, an empty part and the bucket
        raise DataError(
            f"{place}: {first} and {last} are in different stores; make a table, and a run, of each"
        )
    return "/".join(common)


def shared_start(first: Sequence[str], last: Sequence[str]) -> list[str]:
    """Find the folders that two paths, and so all that sort between them, begin with.

    Args:
        first: Folders of one path, from the top.
        last: Folders of the other.

    Example:
        >>> shared_start(["a", "b", "c"], ["a", "b", "d"])
        ['a', 'b']
    """
    shared = []
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        shared.append(one)
    return shared


def _check_not_empty(place: str, table: pl.DataFrame) -> None:
    """Refuse a table without rows, and rows without a path."""
    if table.is_empty():
        raise DataError(f"{place}: has no rows; add one for each image")
    is_empty = table["path"].is_null()
    if is_empty.any():
        row = table.filter(is_empty)["row"][0]
        raise DataError(f"{place}: row {row} has no path; fill it in or remove the row")


def _check_unique(place: str, paths: pl.Series) -> None:
    repeated = paths.filter(paths.is_duplicated())
    if len(repeated):
        raise DataError(
            f"{place}: names {repeated[0]!r} more than once; keep one row for each image"
        )


def _check_some_exist(place: str, paths: pl.Series, root: Path) -> None:
    """Refuse a table none of whose files is there: it starts from another folder."""
    if any(os.path.lexists(root / path) for path in paths):
        return
    for suffix in SUFFIX_FORMATS:
        if os.path.lexists(root / f"{paths[0]}{suffix}"):
            raise DataError(
                f"{place}: path {paths[0]!r} is no file, and {paths[0] + suffix!r} is one; write "
                f"the paths with their suffix"
            )
    raise DataError(
        f"{place}: none of its {len(paths):,} files is in {root}, such as {paths[0]!r}; name the "
        f"folder that the paths start from with --set data.root=FOLDER"
    )
