"""A data folder, table, store or shards -> the list of its images with label, group and split.

Understands class folders, folders of splits, CSV and Parquet tables, addresses of these in an
object store, and folders of shards. Decodes no image.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from bestiary.data.detections.read import is_detections
from bestiary.data.file_kinds import SUFFIX_FORMATS
from bestiary.data.listing_boxes import list_detected_images, list_detections, with_boxes
from bestiary.data.listing_folders import find_files, label_found, walk_images
from bestiary.data.listing_stores import list_stored, stored_root
from bestiary.data.listing_tables import is_table, read_image_table, shared_start
from bestiary.data.listing_types import DataPath, Listing, is_test_row, listing_table
from bestiary.data.table_boxes import add_table_boxes
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.recipe.sections import DataOptions
from bestiary.storage.boxes import BoxFolder
from bestiary.storage.files import is_address, location
from bestiary.storage.shards import has_index

DEFAULT_OPTIONS = DataOptions()


def list_dataset(data: DataPath, options: DataOptions = DEFAULT_OPTIONS) -> Listing:
    """List the images of a dataset, of all splits.

    Args:
        data: Folder of class folders, folder of splits, folder of shards, or table; or the address
            of one of these. A table is a .csv, .tsv or .parquet file with the columns path and
            label, and optionally group, split and others, see `bestiary.data.table_fields`.
        options: Folder that a table's paths start from and may not leave, and layout of the
            folders.

    Returns:
        The listing. Labels are null for test images that have none.

    Raises:
        DataError: There is no such dataset, or it can be read in two ways.
    """
    if is_address(data) or has_index(data):
        return list_stored(data, options).drop_unlabeled(~is_test_row())

    path = Path(data)
    if path.is_dir():
        return with_boxes(_list_folder(path, options), options)
    if path.is_file() and is_detections(path):
        return list_detections(path, options).drop_unlabeled(~is_test_row())
    if path.is_file():
        listing = add_table_boxes(read_image_table(path, _table_root(path, options.root)))
        return with_boxes(listing, options).drop_unlabeled(~is_test_row())
    raise DataError(f"{data}: no such folder or table; check the path")


def list_labeled(data: DataPath, options: DataOptions = DEFAULT_OPTIONS) -> Listing:
    """List the images of a dataset to train on, as `list_dataset`.

    Args:
        data: As for `list_dataset`.
        options: As for `list_dataset`.

    Raises:
        DataError: There are no two classes outside the test split; the message says what is there
            instead.
    """
    listing = list_dataset(data, options)
    _check_classes(data, listing)
    return listing


def list_images(
    images: DataPath | Sequence[DataPath], options: DataOptions = DEFAULT_OPTIONS
) -> Listing:
    """List images to predict: of a folder and its subfolders, of a table or of a file of boxes.

    Args:
        images: Folder, table, file of boxes or image file; or several of these. The paths of
            several start from the deepest folder that holds them all.
        options: Folder that the paths of a table or of a file of boxes start from, and the boxes.

    Returns:
        The listing; labels are null unless a table gives them.

    Raises:
        DataError: There is no image.
    """
    several = [images] if isinstance(images, str | Path) else list(images)
    if not several:
        raise DataError("no images are named; give a folder, a table or image files")
    listings = [_list_one(Path(one), options) for one in several]
    listing = listings[0] if len(listings) == 1 else _join_listings(listings)
    return with_boxes(listing, options)


def root_of(data: DataPath, root: str = "") -> str:
    """Name the absolute folder or address that the paths of a dataset start from.

    Args:
        data: As for `list_dataset`.
        root: Folder that a table's paths start from; empty: the folder that holds the table.

    Raises:
        DataError: The table cannot be used.
    """
    if is_address(data):
        return stored_root(data, root)

    path = Path(data)
    if path.is_file() and is_detections(path):
        return str(_table_root(path, root).resolve())
    if path.is_file():
        listing = read_image_table(path, _table_root(path, root))
        return str(listing.root.resolve())

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


def _list_folder(folder: Path, options: DataOptions) -> Listing:
    """List a local folder of images."""
    found = find_files(folder)
    return label_found(found, folder, str(folder), options.layout)


def _table_root(file: Path, root: str) -> Path:
    return Path(root) if root else file.parent


def _check_classes(data: DataPath, listing: Listing) -> None:
    """Refuse a listing without images or with one class only."""
    labels = listing.outside_test.table["label"].unique()
    if labels.is_empty():
        contents = ", ".join(_describe_contents(listing)) or "nothing at all"
        raise DataError(
            f"{data}: holds no labeled images ({contents}); expected {data}/<class>/<image>"
        )
    if len(labels) == 1:
        hint = _hint_at_inner_folder(data, listing) or _hint_at_unusable(listing)
        raise DataError(
            f"{data}: holds one class only, {labels[0]!r}; a classifier needs two or more class "
            f"folders{hint}"
        )


def _describe_contents(listing: Listing) -> list[str]:
    """Count what is there instead of labeled images."""
    reasons = Counter(reason for _, reason in listing.unusable)
    counts = Counter(listing.ignored) + reasons
    n_test = listing.test.table.height
    if n_test:
        counts["of the test split"] = n_test
    return [f"{count} {reason}" for reason, count in counts.items()]


def _hint_at_inner_folder(data: DataPath, listing: Listing) -> str:
    """Name the folder inside that holds several folders of images; empty if there is none."""
    folders = [path.split("/")[:-1] for path in listing.table["path"]]
    common = shared_start(min(folders), max(folders))
    is_nested = all(len(parts) > len(common) for parts in folders)
    if not common or not is_nested:
        return ""
    return f"; if its folders are the classes or splits, name {data}/{'/'.join(common)}"


def _hint_at_unusable(listing: Listing) -> str:
    """Say why images are left out, which may have been those of other classes."""
    reasons = Counter(reason for _, reason in listing.unusable).most_common(2)
    return "".join(f"; of {counted(n, 'image')}: {reason}" for reason, n in reasons)


def _list_one(path: Path, options: DataOptions) -> Listing:
    """List a folder, a table or an image file; labels are null unless a table gives them."""
    if path.is_file():
        if is_detections(path):
            return list_detected_images(path, options)
        if is_table(path):
            root = _table_root(path, options.root)
            return add_table_boxes(read_image_table(path, root, needs_label=False))
        table = listing_table([(path.name, None, None, None)])
        return Listing(path.parent, table)

    if not path.is_dir():
        if is_address(str(path).replace(":/", "://", 1)):  # a Path keeps one of the two slashes
            raise DataError(
                f"{path}: is an address, and images without labels are not searched for in a "
                "store; give a table with the column path that names them by their addresses"
            )
        raise DataError(f"{path}: no such folder, table or image; check the path")

    listing = walk_images(path)
    if listing.table.is_empty() and not listing.unusable:
        suffixes = " ".join(sorted(SUFFIX_FORMATS))
        raise DataError(f"{path}: holds no images; bestiary reads {suffixes}")
    return listing


def _join_listings(listings: Sequence[Listing]) -> Listing:
    """Join listings; their paths start from the deepest folder that holds them all."""
    roots = [str(listing.root.resolve()) for listing in listings]
    common = os.path.commonpath(roots)
    tables = []
    unusable: dict[str, str] = {}
    ignored = Counter[str]()
    notes: list[str] = []
    empty = []
    has_boxes = any(isinstance(listing.root, BoxFolder) for listing in listings)
    for root, listing in zip(roots, listings, strict=True):
        below = os.path.relpath(root, common).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        path = pl.lit(prefix) + pl.col("path")
        tables.append(listing.table.with_columns(path.alias("path")))
        unusable.update((prefix + path, reason) for path, reason in listing.unusable)
        empty.append(listing.empty.with_columns(path.alias("path")))
        ignored.update(listing.ignored)
        notes += listing.notes

    table = pl.concat(tables, how="diagonal_relaxed")
    unique = table.unique("path", keep="first")
    n_repeated = table.height - unique.height
    if n_repeated:
        notes.append(f"Named more than once: {counted(n_repeated, 'image')}; each has one row")
    return Listing(
        root=BoxFolder(Path(common)) if has_boxes else Path(common),
        table=unique.sort("path"),
        ignored=dict(ignored),
        unusable=sorted(unusable.items()),
        notes=notes,
        empty=pl.concat(empty, how="diagonal_relaxed").sort("path"),
    )
