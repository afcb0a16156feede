"""A local folder -> the images in it: class folders, or train/val/test folders of class folders.

Walks folders and looks at names only. Knows nothing of tables, stores or file contents.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bestiary.data.decode import SUFFIXES
from bestiary.data.listing_types import (
    TEST_FOLDERS,
    TEST_SPLIT,
    TRAINING_SPLITS,
    Listing,
    ListingRow,
    listing_table,
)


def walk_images(folder: Path) -> Listing:
    """List the images of a folder and its subfolders; labels are null.

    The listing is empty if the folder has no images or does not exist. Hidden names and files that
    are not named like images are counted, not listed.
    """
    rows: list[ListingRow] = []
    unusable: list[tuple[str, str]] = []
    ignored = Counter[str]()
    for file in _visible_files(folder, ignored):
        if not is_named_like_image(file.name):
            ignored["not named like an image"] += 1
            continue

        path = file.relative_to(folder).as_posix()
        if _is_unicode(path):
            rows.append((path, None, None, None))
        else:
            printable = path.encode("utf-8", "backslashreplace").decode()
            unusable.append((printable, "file name is not Unicode"))

    counts = {reason: count for reason, count in ignored.items() if count}
    return Listing(folder, listing_table(rows), counts, unusable)


def is_named_like_image(name: str) -> bool:
    """Whether a file name has the suffix of an image format, in any case."""
    _, suffix = os.path.splitext(name)
    return suffix.lower() in SUFFIXES


def has_split_folders(data: Path) -> bool:
    """Whether `data` has a `train/` folder with class folders in it."""
    train = data / "train"
    if not train.is_dir():
        return False

    folders = [child for child in train.iterdir() if child.is_dir()]
    return any(not _is_hidden(folder.name) for folder in folders)


def list_class_folders(data: Path, split: str | None = None) -> Listing:
    """List the images of class folders: the first folder of a path is the label.

    Args:
        data: Folder of class folders.
        split: Split of all images; None where it is unknown.
    """
    images = walk_images(data)
    path = pl.col("path")
    in_folder = path.str.contains("/", literal=True)
    first_folder = path.str.split("/").list.first()
    in_class = images.table.filter(in_folder)
    table = in_class.with_columns(
        first_folder.alias("label"),
        pl.lit(split, pl.String).alias("split"),
    )

    ignored = dict(images.ignored)
    n_loose = images.table.height - in_class.height
    if n_loose:
        ignored["in no class folder"] = n_loose
    return Listing(data, table, ignored, images.unusable)


def list_split_folders(data: Path) -> Listing:
    """List the images of `train/` and `val/` folders of class folders.

    Images in any other folder, such as `test/`, are counted and left for predict.
    """
    tables: list[pl.DataFrame] = []
    unusable: list[tuple[str, str]] = []
    ignored = Counter[str]()
    for child in sorted(data.iterdir()):
        if _is_hidden(child.name) or not child.is_dir():
            continue

        split = TRAINING_SPLITS.get(child.name.lower())
        if split is None:
            n_images = walk_images(child).table.height
            if n_images:
                ignored[f"in {child.name}/, left for predict"] += n_images
            continue

        images = list_class_folders(child, split)
        path = _path_below(child.name)
        tables.append(images.table.with_columns(path))
        unusable += _unusable_below(child.name, images)
        ignored.update(images.ignored)

    table = pl.concat(tables)
    return Listing(data, table.sort("path"), dict(ignored), unusable)


def list_test_folders(data: Path) -> Listing:
    """List the images of the `test/` folder next to `train/`; the listing is empty without one.

    Labels come from class folders and are null for images that lie directly in `test/`.
    """
    no_images = listing_table([])
    if not has_split_folders(data):
        return Listing(data, no_images)

    tables = [no_images]
    unusable: list[tuple[str, str]] = []
    for child in sorted(data.iterdir()):
        is_test = child.name.lower() in TEST_FOLDERS
        if is_test and child.is_dir():
            images = walk_images(child)
            tables.append(_test_rows(child.name, images.table))
            unusable += _unusable_below(child.name, images)

    table = pl.concat(tables)
    return Listing(data, table.sort("path"), unusable=unusable)


def _test_rows(folder: str, images: pl.DataFrame) -> pl.DataFrame:
    """Label the images of a test folder by class folder, and put `folder` before their paths."""
    parts = pl.col("path").str.split("/")
    in_class_folder = parts.list.len() > 1
    first_folder = parts.list.first()
    label = pl.when(in_class_folder).then(first_folder)
    return images.with_columns(
        _path_below(folder),
        label.alias("label"),
        pl.lit(TEST_SPLIT).alias("split"),
    )


def _visible_files(top: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Yield the files below `top`, sorted within each folder; count hidden names in `ignored`."""
    visited: set[str] = set()
    for folder, folders, files in os.walk(top, followlinks=True):
        real_path = os.path.realpath(folder)
        if real_path in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(real_path)

        n_hidden = sum(_is_hidden(name) for name in folders + files)
        ignored["hidden"] += n_hidden

        # os.walk goes on with what is left in `folders`.
        visible_folders = [name for name in folders if not _is_hidden(name)]
        folders[:] = sorted(visible_folders)
        for name in sorted(files):
            if not _is_hidden(name):
                yield Path(folder, name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_unicode(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _path_below(folder: str) -> pl.Expr:
    path = pl.lit(f"{folder}/") + pl.col("path")
    return path.alias("path")


def _unusable_below(folder: str, listing: Listing) -> list[tuple[str, str]]:
    """Put `folder` before the paths of a listing's unusable files."""
    unusable = []
    for path, reason in listing.unusable:
        unusable.append((f"{folder}/{path}", reason))
    return unusable
