"""A column of a user's table, of any type -> text, with what is missing as null.

Knows nothing of files.
"""

import polars as pl

from bestiary.data.folder_layout import quote_names
from bestiary.numbers import counted
from bestiary.tables import TableError

MISSING_WORDS = ("nan", "<na>", "nat")  # how pandas writes a missing value as text
TAKEN_FOR = {"label": ("Labels", "class"), "site": ("Sites", "site")}
"""Columns in which an unclear word is told -> how it is told."""
UNCLEAR_WORDS = ("none", "null", "na", "n/a", "#n/a", "nil", "-", "?", "unknown")


def text_of_column(values: pl.Series) -> pl.Series:
    """Write the values of a column as text. Missing ones are null; whole numbers have no point.

    A column of whole numbers with gaps is a column of floats in pandas.

    Args:
        values: The column.

    Raises:
        TableError: Its values are no text, numbers or Booleans, or are numbers that are not whole.

    Example:
        >>> text_of_column(pl.Series("label", [1.0, float("nan"), 2.0])).to_list()
        ['1', None, '2']
    """
    kind = values.dtype
    if kind.is_float():
        values = values.fill_nan(None)
        if not (values.drop_nulls() == values.drop_nulls().round()).all():
            raise TableError(f"the column {values.name} holds numbers that are not whole")
        return values.cast(pl.Int64).cast(pl.String)
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        raise TableError(f"the column {values.name} holds {kind}")
    return values.cast(pl.String)


def clean_text(values: pl.Series, *, is_path: bool = False) -> tuple[pl.Series, list[str]]:
    """Normalize the text of a column.

    Spaces around it are removed. Empty text and the words for a missing value are null. Labels and
    groups are in Unicode's composed form (NFC); paths are as they are.

    Args:
        values: The column, as text.
        is_path: Whether it holds paths, in which a missing value has no words.

    Returns:
        The column, and what was assumed, in words.
    """
    text = values.str.strip_chars()
    text = text.set(text == "", None)
    if is_path:
        return text, []

    notes = []
    text = text.str.normalize("NFC")
    is_missing = text.str.to_lowercase().is_in(MISSING_WORDS)
    n_missing = int(is_missing.sum() or 0)
    if n_missing:
        notes.append(
            f"Missing: {counted(n_missing, 'value')} of the column {text.name} written nan"
        )
        text = text.set(is_missing, None)

    # Whole numbers that pandas has written as floats, because of a gap
    present = text.drop_nulls()
    if len(present) and present.str.contains(r"^-?\d+\.0$").all():
        notes.append(f"Numbers: the column {text.name} is read as whole numbers, without .0")
        text = text.str.strip_suffix(".0")

    words = present.unique(maintain_order=True)
    unclear = words.filter(words.str.to_lowercase().is_in(UNCLEAR_WORDS))
    if text.name in TAKEN_FOR and len(unclear):
        kind, one = TAKEN_FOR[text.name]
        names = quote_names(unclear)
        notes.append(f"{kind}: {names} is taken for a {one}; empty the cell where it means none")
    return text, notes


def plain_paths(paths: pl.Series) -> pl.Series:
    r"""Write paths of local files in their one plain form, as programs that list files do not.

    `find` begins each path with ``./``, and Windows has backslashes. Links are not resolved.

    Args:
        paths: Relative or absolute, of files on a disk.

    Returns:
        With forward slashes, and neither ``./`` nor two slashes in a row.

    Example:
        >>> plain_paths(pl.Series(["./a.jpg", "b//./c.jpg", r".\b\d.jpg"])).to_list()
        ['a.jpg', 'b/c.jpg', 'b/d.jpg']
    """
    return plain_steps(paths.str.replace_all("\\", "/", literal=True))


def plain_steps(paths: pl.Series) -> pl.Series:
    """Leave out the steps of paths that lead nowhere, as `plain_paths` does.

    Args:
        paths: With forward slashes; a backslash belongs to a name.

    Example:
        >>> plain_steps(pl.Series(["./a.jpg", "b//./c.jpg"])).to_list()
        ['a.jpg', 'b/c.jpg']
    """
    once = paths.str.replace_all("/{2,}", "/")
    return once.str.replace_all("/(?:\\./)+", "/").str.replace("^(?:\\./)+", "")
