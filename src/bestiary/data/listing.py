"""A data folder, table, store or shards -> the list of its images with label, group and split.

Understands class folders, `train/` `val/` `test/` folders of class folders, CSV and Parquet tables,
addresses of these in an object store, and folders of shards. Opens no image file.
"""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from bestiary.data.decode import SUFFIXES
from bestiary.data.listing_folders import (
    has_split_folders,
    list_class_folders,
    list_split_folders,
    list_test_folders,
    walk_images,
)
from bestiary.data.listing_stores import read_stored_rows, stored_root
from bestiary.data.listing_tables import read_image_table
from bestiary.data.listing_types import (
    TEST_SPLIT,
    DataPath,
    Listing,
    is_test_row,
    listing_table,
)
from bestiary.errors import DataError
from bestiary.storage.files import Root, is_address, location
from bestiary.storage.shards import has_index


def list_labeled(data: DataPath, root: str = "") -> Listing:
    """List the labeled images of a dataset: training and validation splits, without the test split.

    Args:
        data: Folder of class folders, folder of `train/` (and `val/`, `test/`), folder of shards,
            or table; or the address of one of these. A table is a .csv or .parquet file with the
            columns path and label, and optionally group and split.
        root: Folder that a table's paths start from and may not leave; empty: the folder that
            holds the table.

    Raises:
        DataError: Nothing usable is there; the message names what is there instead.
    """
    listing = _list_outside_test(data, root)
    _check_classes(data, listing)
    return listing


def list_test(data: DataPath, root: str = "") -> Listing:
    """List the images of the test split of a dataset, which `list_labeled` leaves out.

    Args:
        data: As for `list_labeled`.
        root: As for `list_labeled`.

    Returns:
        A listing with split ``test``, empty if there is no such split. Labels come from class
        folders or a column, and are null where neither gives one.

    Raises:
        DataError: The table cannot be used.
    """
    if is_address(data) or has_index(data):
        folder, table, _ = read_stored_rows(data, root)
        test_rows = table.filter(is_test_row())
        split = pl.lit(TEST_SPLIT).alias("split")
        return Listing(folder, test_rows.with_columns(split))

    path = Path(data)
    if path.is_file():
        table_root = _table_root(path, root)
        table, start = read_image_table(path, table_root)
        test_rows = table.filter(is_test_row())
        return Listing(start, test_rows.sort("path"))

    return list_test_folders(path)


def list_images(path: Path) -> Listing:
    """List the images of a folder and its subfolders, or one image file; labels are null.

    Raises:
        DataError: There is no image.
    """
    if path.is_file():
        row = (path.name, None, None, None)
        table = listing_table([row])
        return Listing(path.parent, table)

    if not path.is_dir():
        raise DataError(f"{path}: no such folder or image; check the path")

    listing = walk_images(path)
    if listing.table.is_empty() and not listing.unusable:
        suffixes = " ".join(sorted(SUFFIXES))
        raise DataError(f"{path}: holds no images; bestiary reads {suffixes}")
    return listing


def root_of(data: DataPath, root: str = "") -> str:
    """Name the absolute folder or address that the paths of a dataset start from.

    Args:
        data: As for `list_labeled`.
        root: As for `list_labeled`.

    Raises:
        DataError: The table cannot be used.
    """
    if is_address(data):
        return stored_root(data, root)

    path = Path(data)
    if path.is_file():
        table_root = _table_root(path, root)
        _, start = read_image_table(path, table_root)
        return str(start.resolve())

    return location(data)


def group_by_path(listing: Listing, pattern: str) -> Listing:
    """Give each image without a group the group that `pattern` finds in its path.

    Args:
        listing: The images.
        pattern: Regular expression, searched anywhere in the path. The match of its first
            parentheses is the group's name.

    Raises:
        DataError: The pattern matches none of the paths.
    """
    search = re.compile(pattern).search
    paths = listing.table["path"]
    names = []
    for path in paths:
        match = search(path)
        names.append(match.group(1) if match else None)

    if all(name is None for name in names):
        raise DataError(
            f"data.group_pattern = {pattern!r}: is found in none of the {len(names):,} paths, "
            f"such as {paths[0]!r}; correct the pattern"
        )

    group_in_path = pl.Series("group", names, pl.String)
    group = pl.coalesce("group", group_in_path)
    table = listing.table.with_columns(group)
    return replace(listing, table=table)


def _list_outside_test(data: DataPath, root: str) -> Listing:
    """List the labeled images of a dataset, however many there are."""
    if is_address(data) or has_index(data):
        folder, table, ignored = read_stored_rows(data, root)
        return _keep_labeled(folder, table, ignored)

    path = Path(data)
    if path.is_dir():
        if has_split_folders(path):
            return list_split_folders(path)
        return list_class_folders(path)

    if path.is_file():
        table_root = _table_root(path, root)
        table, start = read_image_table(path, table_root)
        return _keep_labeled(start, table, ignored={})

    raise DataError(f"{data}: no such folder or table; check the path")


def _check_classes(data: DataPath, listing: Listing) -> None:
    """Refuse a listing without images or with one class only."""
    if listing.table.is_empty():
        counts = [f"{count} {reason}" for reason, count in listing.ignored.items()]
        contents = ", ".join(counts) or "nothing at all"
        raise DataError(
            f"{data}: holds no labeled images ({contents}); expected {data}/<class>/<image>"
        )

    labels = listing.table["label"].unique()
    if len(labels) < 2:
        raise DataError(
            f"{data}: holds one class only, {labels[0]!r}; a classifier needs two or more class "
            f"folders"
        )


def _table_root(file: Path, root: str) -> Path:
    return Path(root) if root else file.parent


def _keep_labeled(root: Root, table: pl.DataFrame, ignored: dict[str, int]) -> Listing:
    """Leave out and count the rows without a label and the rows of the test split."""
    label = pl.col("label")
    has_no_label = label.is_null() | (label == "")
    is_labeled_test = is_test_row() & ~has_no_label
    counts = table.select(
        has_no_label.sum().alias("without a label"),
        is_labeled_test.sum().alias("of the test split, left for predict"),
    )

    ignored = dict(ignored)
    for reason, count in counts.row(0, named=True).items():
        if count:
            ignored[reason] = count

    labeled = table.filter(~has_no_label & ~is_test_row())
    return Listing(root, labeled.sort("path"), ignored)
