"""A user's CSV or Parquet table -> rows of path, label, group and split, checked.

A table may come from a stranger, so its paths must not leave the folder they start from. Knows
nothing of folders of images.
"""

from pathlib import Path

import polars as pl

from bestiary.data.listing_types import LISTING_SCHEMA, DataPath
from bestiary.errors import DataError
from bestiary.storage.files import Root, StoredFolder, is_address
from bestiary.tables import UNSAFE_PATH, TableError, read_frame, table_errors


def is_table(data: DataPath) -> bool:
    """Whether a path or address is named like a table."""
    suffix = Path(str(data)).suffix
    return suffix.lower() in (".csv", ".parquet")


def read_table(file: Path) -> pl.DataFrame:
    """Read a CSV (every column as text) or Parquet table.

    Raises:
        DataError: The file is neither.
    """
    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            return read_frame(file)
        if suffix == ".csv":
            return read_frame(file, infer_schema=False)
    except (OSError, TableError) as error:
        raise DataError(f"{file}: is not a readable table ({error})") from None
    raise DataError(f"{file}: is neither a folder nor a .csv or .parquet table")


def read_image_table(file: Path, root: Root) -> tuple[pl.DataFrame, Root]:
    """Read a table of images and check its columns and paths.

    Args:
        file: CSV or Parquet table with the columns path and label, and optionally group and split.
        root: Folder that its paths start from.

    Returns:
        The rows with the columns of `LISTING_SCHEMA`, in the table's order, and the folder that
        the paths start from. If the paths are addresses, that is the deepest folder in the store
        that holds them all.

    Raises:
        DataError: The table cannot be used.
    """
    table = _select_columns(file, read_table(file))
    is_repeated = pl.col("path").is_duplicated()
    repeated = table.filter(is_repeated)["path"]
    if len(repeated):
        raise DataError(
            f"{file}: names {repeated[0]!r} more than once; keep one row for each image"
        )

    # Paths that are addresses start from the folder that they share.
    first = table["path"].min()
    last = table["path"].max()
    if _is_stored_path(first) and _is_stored_path(last):
        folder = _common_folder(file, str(first), str(last))
        path_below = pl.col("path").str.slice(len(folder) + 1)
        table = table.with_columns(path_below)
        root = StoredFolder(folder)

    _check_inside(file, table["path"], root)
    return table, root


def _select_columns(file: Path, table: pl.DataFrame) -> pl.DataFrame:
    """Select the columns of `LISTING_SCHEMA` as text, null where absent, and turn backslashes."""
    for column in ("path", "label"):
        if column not in table.columns:
            names = ", ".join(table.columns)
            raise DataError(
                f"{file}: has no column {column!r} (found {names}); expected "
                f"path,label[,group][,split]"
            )

    columns = []
    for name in LISTING_SCHEMA:
        values = pl.col(name) if name in table.columns else pl.lit(None)
        text = values.cast(pl.String)
        columns.append(text.alias(name))

    forward_slashes = pl.col("path").str.replace_all("\\", "/", literal=True)
    try:
        with table_errors():
            return table.select(columns).with_columns(forward_slashes)
    except TableError as error:
        raise DataError(
            f"{file}: its columns path, label, group and split must be text ({error})"
        ) from None


def _is_stored_path(path: object) -> bool:
    return isinstance(path, str) and is_address(path)


def _common_folder(file: Path, first: str, last: str) -> str:
    """Find the deepest folder above two addresses, and so above all that sort between them."""
    first_folders = first.split("/")[:-1]
    last_folders = last.split("/")[:-1]
    n_common = 0
    for one, other in zip(first_folders, last_folders, strict=False):
        if one != other:
            break
        n_common += 1

    if n_common < 3:  # the protocol, an empty part and the bucket
        raise DataError(
            f"{file}: {first} and {last} are in different stores; make a table, and a run, of each"
        )
    return "/".join(first_folders[:n_common])


def _check_inside(file: Path, paths: pl.Series, root: Root) -> None:
    """Refuse empty paths and paths that leave `root`.

    A stranger's table must not make bestiary read other files.
    """
    is_empty = paths.is_null() | (paths == "")
    if is_empty.any():
        row = int(is_empty.arg_true()[0]) + 1
        raise DataError(f"{file}: row {row} has no path; fill it in or remove the row")

    is_unsafe = paths.str.contains(UNSAFE_PATH)
    unsafe = paths.filter(is_unsafe)
    if len(unsafe):
        raise DataError(
            f"{file}: path {unsafe[0]!r} leads out of {root}; use paths below it, or name the "
            f"folder that they start from with --set data.root=FOLDER"
        )
