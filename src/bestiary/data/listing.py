"""A data folder or table -> the images it names, with label, group and split; nothing is opened
yet.

Understands class folders, `train/` `val/` `test/` folders of class folders, and CSV or Parquet
tables. Knows nothing of what is inside an image file.
"""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from bestiary.data.decode import SUFFIXES
from bestiary.errors import DataError
from bestiary.storage.files import Root, StoredFile, StoredFolder, is_address, location
from bestiary.storage.places import root_at
from bestiary.storage.shards import ShardFolder, has_index
from bestiary.tables import LEAVING, TableError, foreign_table, read_frame

Place = str | Path
TRAINING_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
TEST_SPLIT = "test"
TEST_FOLDERS = ("test", "testing")
SCHEMA = {"path": pl.String, "label": pl.String, "group": pl.String, "split": pl.String}


@dataclass(frozen=True, slots=True)
class Listing:
    """The images found.

    Attributes:
        root: folder that the paths start from.
        table: columns path (relative to root, forward slashes), label, group and split (null where
            unknown), by path.
        ignored: what was left out, counted by reason.
        unusable: path and reason of files that are named like images but cannot even be listed.
    """

    root: Root
    table: pl.DataFrame
    ignored: dict[str, int] = field(default_factory=dict)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def with_test(self, test: "Listing") -> "Listing":
        """The listing with the images of the test part that came with it."""
        return replace(self, table=pl.concat([self.table, test.table]).sort("path"))


def list_labeled(data: Place, root: str = "") -> Listing:
    """The labeled images of a folder or table, training and validation parts pooled, the test part
    left out.

    Args:
        data: folder of class folders, folder of `train/` (and `val/`, `test/`), folder of shards,
            or a .csv or .parquet table with the columns path, label and, if wanted, group and
            split; or the address of one of these.
        root: folder that a table's paths start from and may not leave; empty: the folder the table
            lies in.

    Raises:
        DataError: nothing usable is there, with what was found instead.
    """
    if is_address(data) or has_index(data):
        listing = _list_stored(data, root)
    elif (folder := Path(data)).is_dir():
        listing = _list_splits(folder) if _has_splits(folder) else _list_class_folders(folder)
    elif folder.is_file():
        listing = _list_table(folder, Path(root) if root else folder.parent)
    else:
        raise DataError(f"{data}: no such folder or table; check the path")
    if listing.table.is_empty():
        seen = (
            ", ".join(f"{count} {reason}" for reason, count in listing.ignored.items())
            or "nothing at all"
        )
        raise DataError(
            f"{data}: holds no labeled images ({seen}); expected {data}/<class>/<image>"
        )
    labels = listing.table["label"].unique()
    if len(labels) < 2:
        raise DataError(
            f"{data}: holds one class only, {labels[0]!r}; a classifier needs two or more class "
            f"folders"
        )
    return listing


def root_of(data: Place, root: str = "") -> str:
    """The absolute folder that the paths of `data` start from; arguments as for `list_labeled`."""
    if is_address(data):
        return location(root or (str(data).rsplit("/", 1)[0] if is_table(data) else data))
    if Path(data).is_file():
        return str(_read_rows(Path(data), Path(root) if root else Path(data).parent)[1].resolve())
    return location(data)


def is_table(data: Place) -> bool:
    """Whether a place is named like a table."""
    return Path(str(data)).suffix.lower() in (".csv", ".parquet")


def group_by_path(listing: Listing, pattern: str) -> Listing:
    """The listing with a group for each image that has none and whose path `pattern` finds a
    group's name in.

    Args:
        listing: the images.
        pattern: a regular expression; what its first parentheses match anywhere in the path is the
            group's name.

    Raises:
        DataError: the pattern is found in none of the paths.
    """
    find = re.compile(pattern).search
    names = [found.group(1) if (found := find(path)) else None for path in listing.table["path"]]
    if all(name is None for name in names):
        raise DataError(
            f"data.group_pattern = {pattern!r}: is found in none of the {len(names):,} paths, "
            f"such as {listing.table['path'][0]!r}; mend the pattern"
        )
    group = pl.coalesce("group", pl.Series("group", names, pl.String))
    return replace(listing, table=listing.table.with_columns(group))


def list_test(data: Place, root: str = "") -> Listing:
    """The images of the test part that came with a folder or table, which `list_labeled` leaves
    out.

    Args:
        data: as for `list_labeled`.
        root: likewise.

    Returns:
        their listing, split ``test``; labels where class folders or a column give them. Empty where
        there is none.

    Raises:
        DataError: the table cannot be used.
    """
    if is_address(data) or has_index(data):
        start, table, _ = _stored_rows(data, root)
        return Listing(
            start, table.filter(_is_test()).with_columns(pl.lit(TEST_SPLIT).alias("split"))
        )
    data = Path(data)
    if data.is_file():
        table, start = _read_rows(data, Path(root) if root else data.parent)
        return Listing(start, table.filter(_is_test()).sort("path"))
    tables, unusable = [_table([])], []
    for child in sorted(data.iterdir()) if _has_splits(data) else ():
        if child.name.lower() not in TEST_FOLDERS or not child.is_dir():
            continue
        found = _walk(child)
        unusable += [(f"{child.name}/{path}", reason) for path, reason in found.unusable]
        parts = pl.col("path").str.split("/")
        label = pl.when(parts.list.len() > 1).then(parts.list.first())
        path = (pl.lit(f"{child.name}/") + pl.col("path")).alias("path")
        tables.append(
            found.table.with_columns(path, label.alias("label"), pl.lit(TEST_SPLIT).alias("split"))
        )
    return Listing(data, pl.concat(tables).sort("path"), unusable=unusable)


def list_images(place: Path) -> Listing:
    """The images of a folder (nested), or the one image at `place`; labels are null.

    Raises:
        DataError: nothing there.
    """
    if place.is_file():
        return Listing(place.parent, _table([(place.name, None, None, None)]))
    if not place.is_dir():
        raise DataError(f"{place}: no such folder or image; check the path")
    found = _walk(place)
    if not found.table.is_empty() or found.unusable:
        return found
    raise DataError(f"{place}: holds no images; bestiary reads {' '.join(sorted(SUFFIXES))}")


def list_files(folder: Path) -> Listing:
    """The images of a folder (nested), or none where there are none or the folder is gone;
    labels are null.
    """
    return _walk(folder)


def _table(rows: Sequence[tuple[str, str | None, str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("path")


def _has_splits(data: Path) -> bool:
    train = data / "train"
    return train.is_dir() and any(
        child.is_dir() and not child.name.startswith(".") for child in train.iterdir()
    )


def _walk(top: Path) -> Listing:
    """Every image under `top`; hidden files and folders and what is not named like an image are
    counted.
    """
    rows, ignored, unusable = [], Counter[str](), []
    seen = set()
    for folder, folders, files in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        ignored["hidden"] += sum(name.startswith(".") for name in folders + files)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() not in SUFFIXES:
                ignored["not named like an image"] += 1
                continue
            path = Path(folder, name).relative_to(top).as_posix()
            try:
                path.encode("utf-8")
            except UnicodeEncodeError:
                unusable.append(
                    (path.encode("utf-8", "backslashreplace").decode(), "file name is not Unicode")
                )
                continue
            rows.append((path, None, None, None))
    return Listing(top, _table(rows), {k: v for k, v in ignored.items() if v}, unusable)


def _list_class_folders(data: Path, split: str | None = None) -> Listing:
    found = _walk(data)
    slash = pl.col("path").str.contains("/", literal=True)
    loose = found.table.filter(~slash).height
    table = found.table.filter(slash).with_columns(
        pl.col("path").str.split("/").list.first().alias("label"),
        pl.lit(split, pl.String).alias("split"),
    )
    ignored = found.ignored | ({"in no class folder": loose} if loose else {})
    return Listing(data, table, ignored, found.unusable)


def _list_splits(data: Path) -> Listing:
    tables, ignored, unusable = [], Counter[str](), []
    for child in sorted(data.iterdir()):
        split = TRAINING_SPLITS.get(child.name.lower())
        if child.name.startswith(".") or not child.is_dir():
            continue
        if split is None:
            count = _walk(child).table.height
            if count:
                ignored[f"in {child.name}/, left for predict"] += count
            continue
        part = _list_class_folders(child, split)
        tables.append(
            part.table.with_columns((pl.lit(f"{child.name}/") + pl.col("path")).alias("path"))
        )
        ignored.update(part.ignored)
        unusable += [(f"{child.name}/{path}", reason) for path, reason in part.unusable]
    return Listing(data, pl.concat(tables).sort("path"), dict(ignored), unusable)


def _read_rows(file: Path, root: Root) -> tuple[pl.DataFrame, Root]:
    """The rows of a user's table with the columns of `SCHEMA`, checked, and the folder that their
    paths start from.

    Where the paths are addresses, that is the folder in the store that holds them all.
    """
    table = read_table(file)
    for column in ("path", "label"):
        if column not in table.columns:
            found = ", ".join(table.columns)
            raise DataError(
                f"{file}: has no column {column!r} (found {found}); expected "
                f"path,label[,group][,split]"
            )
    try:
        with foreign_table():
            table = table.select(
                (pl.col(c) if c in table.columns else pl.lit(None)).cast(pl.String).alias(c)
                for c in SCHEMA
            ).with_columns(pl.col("path").str.replace_all("\\", "/", literal=True))
    except TableError as error:
        raise DataError(
            f"{file}: its columns path, label, group and split must be text ({error})"
        ) from None
    twice = table.filter(pl.col("path").is_duplicated())["path"]
    if len(twice):
        raise DataError(f"{file}: names {twice[0]!r} more than once; keep one row for each image")
    first, last = table["path"].min(), table["path"].max()
    if isinstance(first, str) and isinstance(last, str) and is_address(first) and is_address(last):
        folder = _common_folder(file, first, last)
        table, root = (
            table.with_columns(pl.col("path").str.slice(len(folder) + 1)),
            StoredFolder(folder),
        )
    _check_inside(file, table["path"], root)
    return table, root


def _list_table(file: Path, root: Path) -> Listing:
    table, start = _read_rows(file, root)
    return _labeled_part(start, table, {})


def _is_test() -> pl.Expr:
    return (pl.col("split").str.to_lowercase() == TEST_SPLIT).fill_null(False)


def _labeled_part(root: Root, table: pl.DataFrame, ignored: dict[str, int]) -> Listing:
    unlabeled = pl.col("label").is_null() | (pl.col("label") == "")
    left = table.select(unlabeled.sum().alias("u"), (_is_test() & ~unlabeled).sum().alias("t")).row(
        0
    )
    reasons = zip(("without a label", "of the test split, left for predict"), left, strict=True)
    kept = table.filter(~unlabeled & ~_is_test()).sort("path")
    return Listing(root, kept, ignored | {reason: count for reason, count in reasons if count})


def _list_stored(data: Place, root: str) -> Listing:
    return _labeled_part(*_stored_rows(data, root))


def _stored_rows(data: Place, root: str) -> tuple[Root, pl.DataFrame, dict[str, int]]:
    """Root, rows with the columns of `SCHEMA`, and what was ignored, of an address or a folder
    of shards.
    """
    try:
        if is_address(data) and is_table(data):
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / str(data).rsplit("/", 1)[-1]
                copy.write_bytes(StoredFile(str(data)).read_bytes())
                table, _ = _read_rows(copy, copy.parent)
            return root_at(root_of(data, root)), table.sort("path"), {}
        found = root_at(data)
        if isinstance(found, ShardFolder):
            return found, found.list_images().select(list(SCHEMA)), {}
        return found, *_rows_of_names(list(StoredFolder(str(data)).list_files()))
    except OSError as error:
        raise DataError(
            f"{data}: cannot be read ({error.strerror or error}); check the address and the access"
        ) from None


def _rows_of_names(names: list[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Rows of the images among the paths below a folder, label and split by the folders they are
    in.
    """
    split = any(name.startswith("train/") for name in names)
    splits = TRAINING_SPLITS | dict.fromkeys(TEST_FOLDERS, TEST_SPLIT)
    rows: list[tuple[str, str | None, str | None, str | None]] = []
    ignored = Counter[str]()
    for name in names:
        parts = name.split("/")
        part = splits.get(parts.pop(0).lower()) if split else None
        if any(folder.startswith(".") for folder in parts):
            ignored["hidden"] += 1
        elif os.path.splitext(name)[1].lower() not in SUFFIXES:
            ignored["not named like an image"] += 1
        elif len(parts) < 2 or (split and part is None):
            ignored["in no class folder"] += 1
        else:
            rows.append((name, parts[0], None, part))
    return _table(rows), dict(ignored)


def read_table(file: Path) -> pl.DataFrame:
    """A CSV (every column as text) or Parquet table.

    Raises:
        DataError: the file is neither.
    """
    try:
        if file.suffix.lower() == ".parquet":
            return read_frame(file)
        if file.suffix.lower() == ".csv":
            return read_frame(file, infer_schema=False)
    except (OSError, TableError) as error:
        raise DataError(f"{file}: is not a readable table ({error})") from None
    raise DataError(f"{file}: is neither a folder nor a .csv or .parquet table")


def _common_folder(file: Path, first: str, last: str) -> str:
    """The deepest folder that two addresses, and so all that sort between them, are below."""
    above, other = first.split("/")[:-1], last.split("/")[:-1]
    same = 0
    while same < min(len(above), len(other)) and above[same] == other[same]:
        same += 1
    if same < 3:  # the kind of store, nothing, its bucket
        raise DataError(
            f"{file}: {first} and {last} are in different stores; make a table, and a run, of each"
        )
    return "/".join(above[:same])


def _check_inside(file: Path, paths: pl.Series, root: object) -> None:
    """Refuse paths that leave the root: a table from a stranger must not make bestiary read
    other files.
    """
    empty = paths.is_null() | (paths == "")
    if empty.any():
        raise DataError(
            f"{file}: row {int(empty.arg_true()[0]) + 1} has no path; fill it in or remove the row"
        )
    odd = paths.filter(paths.str.contains(LEAVING))
    if len(odd):
        raise DataError(
            f"{file}: path {odd[0]!r} leads out of {root}; use paths below it, or name the folder "
            f"that they "
            f"start from with --set data.root=FOLDER"
        )
