"""A user's taxonomy.csv -> `Taxonomy`, checked: every taxon has one parent.

Columns are label (or class name under another name) and ranks; the names of Darwin Core and of
GBIF's checklists are known too. Knows nothing of images.
"""

from itertools import pairwise
from pathlib import Path

import polars as pl

from bestiary.data.folder_layout import quote_names
from bestiary.data.listing_tables import read_table
from bestiary.data.table_values import UNCLEAR_WORDS, clean_text, text_of_column
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.run.layout import TAXONOMY
from bestiary.run.taxonomy import NAMES, RANKS, Taxonomy
from bestiary.storage.files import is_address
from bestiary.tables import TableError, table_errors

LABEL_NAMES = ("label", "species", "scientificname", "canonicalname", "name")
"""Columns that may name the class, the first that is there, in lower case."""


def find_taxonomy(named: str, data: str | Path) -> Path | None:
    """Find the taxonomy of a dataset.

    Args:
        named: The file that the user names; empty: none.
        data: The dataset: its folder, or the folder of its table, may hold a taxonomy.csv.

    Returns:
        The file; None if there is none.

    Raises:
        DataError: The named file does not exist.
    """
    if named:
        if not Path(named).is_file():
            raise DataError(f"data.taxonomy = {named}: no such file; check the path")
        return Path(named)
    if is_address(data):
        return None
    path = Path(data)
    folder = path if path.is_dir() else path.parent
    file = folder / TAXONOMY
    return file if file.is_file() and file != path else None


def read_taxonomy(file: Path, classes: list[str]) -> tuple[Taxonomy, list[str]]:
    """Read a taxonomy.

    Args:
        file: CSV or Parquet table.
        classes: Classes of the dataset; rows of others are left out.

    Returns:
        The taxonomy of `classes`, and what was assumed, in words.

    Raises:
        DataError: It is no such table, has none of the classes, or has a taxon in two places.
    """
    read = read_table(file)
    plain = {column.strip().casefold(): column for column in read.columns}
    label = next((plain[name] for name in LABEL_NAMES if name in plain), None)
    if label is None:
        raise DataError(
            f"{file}: has no column 'label' (found {', '.join(read.columns)}); expected "
            f"label,genus,family,order,class"
        )
    columns = {"label": _text(file, read[label])}
    for name in (*RANKS, *NAMES):
        column = plain.get(name.casefold())
        if column is not None and read[column].null_count() < read.height:
            text = _text(file, read[column])
            unclear = text.str.to_lowercase().is_in(UNCLEAR_WORDS).fill_null(False)
            columns[name] = text.set(unclear, None)
    table = pl.DataFrame([column.alias(name) for name, column in columns.items()])
    if not set(table.columns) & set(RANKS):
        raise DataError(f"{file}: has no rank; expected some of the columns {', '.join(RANKS)}")
    table = table.filter(pl.col("label").is_in(classes)).unique(maintain_order=True)
    _check(file, table, classes)
    return Taxonomy(table), _notes(file, table, classes)


def _text(file: Path, values: pl.Series) -> pl.Series:
    try:
        with table_errors():
            return clean_text(text_of_column(values))[0]
    except TableError as error:
        raise DataError(f"{file}: {error}; write text") from None


def _check(file: Path, table: pl.DataFrame, classes: list[str]) -> None:
    """Refuse a table that has none of the classes, or is no tree."""
    if table.is_empty():
        raise DataError(
            f"{file}: has none of the {counted(len(classes), 'class', 'classes')}, such as "
            f"{classes[0]!r}; its column label must have the names of the classes"
        )
    repeated = table["label"].filter(table["label"].is_duplicated())
    if len(repeated):
        raise DataError(f"{file}: has two different rows of {repeated[0]!r}; keep one")
    ranks = [rank for rank in RANKS if rank in table.columns]
    for rank in ranks:
        _check_spelling(file, rank, table[rank])
    for lower, higher in pairwise(ranks):
        pairs = table.select(lower, higher).drop_nulls().unique(maintain_order=True)
        double = pairs.filter(pl.col(lower).is_duplicated())
        if double.height:
            taxon = double[lower][0]
            parents = double.filter(pl.col(lower) == taxon)[higher].to_list()
            raise DataError(
                f"{file}: the {lower} {taxon!r} is in the {higher} {parents[0]!r} and in "
                f"{parents[1]!r}; correct one"
            )


def _check_spelling(file: Path, rank: str, taxa: pl.Series) -> None:
    """Refuse a taxon with two spellings: it would be two taxa."""
    spellings: dict[str, str] = {}
    for taxon in taxa.drop_nulls().unique(maintain_order=True):
        other = spellings.setdefault(taxon.casefold(), taxon)
        if other != taxon:
            raise DataError(f"{file}: writes the {rank} {other!r} and {taxon!r}; correct one")


def _notes(file: Path, table: pl.DataFrame, classes: list[str]) -> list[str]:
    ranks = [rank for rank in RANKS if rank in table.columns]
    notes = [f"Taxonomy: {file.name} with {', '.join(ranks)}"]
    known = set(table["label"])
    missing = [name for name in classes if name not in known]
    if missing:
        notes.append(f"Taxonomy: no row of {quote_names(missing)}; each stands for itself")
    return notes
