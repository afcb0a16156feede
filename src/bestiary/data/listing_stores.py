"""An address in an object store, or a folder of shards -> rows of path, label, group and split.

Labels and splits come from a table, an index of shards, or the folders in the store. Knows nothing
of local folders of images.
"""

import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import polars as pl

from bestiary.data.listing_folders import is_named_like_image
from bestiary.data.listing_tables import is_table, read_image_table
from bestiary.data.listing_types import (
    LISTING_SCHEMA,
    TEST_FOLDERS,
    TEST_SPLIT,
    TRAINING_SPLITS,
    DataPath,
    ListingRow,
    listing_table,
)
from bestiary.errors import DataError
from bestiary.storage.files import Root, StoredFile, StoredFolder, is_address, location
from bestiary.storage.roots import open_root
from bestiary.storage.shards import ShardFolder

SPLIT_OF_FOLDER = TRAINING_SPLITS | dict.fromkeys(TEST_FOLDERS, TEST_SPLIT)

StoredRows = tuple[Root, pl.DataFrame, dict[str, int]]
"""Root that the paths start from, rows with the columns of `LISTING_SCHEMA`, ignored counts."""


def stored_root(data: DataPath, root: str = "") -> str:
    """Name the folder in a store that the paths of `data` start from.

    Args:
        data: Address of a folder or table.
        root: Folder that a table's paths start from; empty: the folder that holds the table.
    """
    if root:
        return location(root)
    if is_table(data):
        folder = str(data).rsplit("/", 1)[0]
        return location(folder)
    return location(data)


def read_stored_rows(data: DataPath, root: str) -> StoredRows:
    """Read the rows of an address or of a folder of shards.

    Args:
        data: Address of a folder or table, or a folder of shards.
        root: Folder that a table's paths start from; empty: the folder that holds the table.

    Raises:
        DataError: The store cannot be read, or the table cannot be used.
    """
    try:
        if is_address(data) and is_table(data):
            table = _read_stored_table(str(data))
            folder = open_root(stored_root(data, root))
            return folder, table.sort("path"), {}
        return _read_folder_rows(data)
    except OSError as error:
        raise DataError(
            f"{data}: cannot be read ({error.strerror or error}); check the address and the access"
        ) from None


def _read_folder_rows(data: DataPath) -> StoredRows:
    """Read the rows of a folder of shards from its index, of another folder from its paths."""
    folder = open_root(data)
    if isinstance(folder, ShardFolder):
        images = folder.list_images()
        columns = list(LISTING_SCHEMA)
        return folder, images.select(columns), {}

    paths = StoredFolder(str(data)).list_files()
    table, ignored = _rows_of_paths(paths)
    return folder, table, ignored


def _read_stored_table(address: str) -> pl.DataFrame:
    """Download a table and read its rows."""
    content = StoredFile(address).read_bytes()
    name = address.rsplit("/", 1)[-1]
    with tempfile.TemporaryDirectory() as folder:
        local_file = Path(folder, name)
        local_file.write_bytes(content)
        table, _ = read_image_table(local_file, local_file.parent)
    return table


def _rows_of_paths(paths: Collection[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Select the images among the paths below a folder; label and split come from their folders."""
    has_splits = any(path.startswith("train/") for path in paths)
    rows: list[ListingRow] = []
    ignored = Counter[str]()
    for path in paths:
        parts = path.split("/")
        split = None
        if has_splits:
            split_folder = parts.pop(0)
            split = SPLIT_OF_FOLDER.get(split_folder.lower())

        is_hidden = any(part.startswith(".") for part in parts)
        has_no_split = has_splits and split is None
        if is_hidden:
            ignored["hidden"] += 1
        elif not is_named_like_image(path):
            ignored["not named like an image"] += 1
        elif len(parts) < 2 or has_no_split:
            ignored["in no class folder"] += 1
        else:
            label = parts[0]
            rows.append((path, label, None, split))
    return listing_table(rows), dict(ignored)
