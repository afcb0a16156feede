"""Paths and labels in memory, as lists or as a frame -> a table file, as `train` reads one.

The file is in the cache folder, under a name that its content decides. So a run that is interrupted
can be resumed from Python and from the command line alike. Decodes no image.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bestiary.atomic import write_bytes
from bestiary.caches import cache_root, write_or_spare
from bestiary.data.listing_types import LISTING_SCHEMA
from bestiary.details import detail
from bestiary.errors import ArgumentError
from bestiary.numbers import counted
from bestiary.storage.files import is_address

FRAMES = ("DataFrame", "LazyFrame", "Table")  # of polars, pandas and pyarrow
MISSING = ("NAType", "NaTType")  # what pandas has for a missing value
TABLES = "tables"  # the folder in the cache
ESTIMATOR = "bestiary.sklearn.ImageClassifier takes images in memory"


def is_frame(data: object) -> bool:
    """Return whether an object is a data frame of polars, pandas or pyarrow."""
    return any(base.__name__ in FRAMES for base in type(data).__mro__)


def write_labeled(data: Any, labels: Any, has_root: bool) -> tuple[Path, str]:
    """Write paths and labels as a table that `list_dataset` reads.

    Args:
        data: a frame with the columns path and label, and optionally group and split; or paths or
            addresses in an order (images,), with `labels`.
        labels: of the paths (images,); None for a frame.
        has_root: whether the user has named the folder that the paths start from. If not, relative
            paths start from the working directory.

    Returns:
        The table, and the folder that its paths start from; empty: as the user says, or none.

    Raises:
        ArgumentError: there is not one label for each path, or an image is no path.
        BestiaryError: neither the cache folder nor a temporary one can be written.

    Example:
        >>> file, root = write_labeled(["images/a.jpg", "images/b.jpg"], ["Lynx", "Otter"], False)
        >>> pl.read_parquet(file).rows(), Path(root).name
        ([('a.jpg', 'Lynx'), ('b.jpg', 'Otter')], 'images')
    """
    columns = _columns_of_frame(data, labels) if is_frame(data) else _columns_of(data, labels)
    root = ""
    if "path" in columns:
        columns["path"] = [_path_text(row, path) for row, path in enumerate(columns["path"])]
        if not has_root:
            columns["path"], root = _below_one_root(columns["path"])
    table = pl.DataFrame([_series(name, values) for name, values in columns.items()])
    stream = io.BytesIO()
    table.write_parquet(stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    file = cache_root() / TABLES / f"{digest[:32]}.parquet"
    return write_or_spare(file, partial(write_bytes, content=stream.getvalue()), detail), root


def _columns_of_frame(frame: Any, labels: Any) -> dict[str, list[Any]]:
    """Take the columns that a table of images has, whatever their case."""
    if labels is not None:
        raise ArgumentError(
            "labels: this frame has its own; leave them out, or pass one column of the frame as "
            "images"
        )
    if hasattr(frame, "collect"):
        frame = frame.collect()
    if not hasattr(frame, "columns") or hasattr(frame, "column_names"):
        frame = pl.from_arrow(frame)
    columns: dict[str, list[Any]] = {}
    for name in frame.columns:
        if str(name).strip().casefold() in LISTING_SCHEMA:
            columns[str(name).strip().casefold()] = list(frame[name])
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise ArgumentError(
            f"the frame has no column {missing[0]!r} (found {found:.200}); rename one to it"
        )
    return columns


def _columns_of(images: Any, labels: Any) -> dict[str, list[Any]]:
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise ArgumentError(
            f"{type(images).__name__}: is no dataset; pass a folder, a table, a frame with path "
            "and label, or a list of paths with labels=LABELS"
        )
    if labels is None:
        raise ArgumentError("a list of images needs labels: train(images, run, labels=labels)")
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise ArgumentError(f"labels: {labels!r:.80} is no list; pass one label for each image")
    paths, names = list(images), [_plain(label) for label in labels]
    if len(paths) != len(names):
        raise ArgumentError(
            f"labels: there are {len(names):,} for {counted(len(paths), 'image')}; give one for "
            "each"
        )
    return {"path": paths, "label": names}


def _path_text(row: int, path: Any) -> str | None:
    if isinstance(path, str | os.PathLike):
        return os.fsdecode(path)
    if path is None or isinstance(path, float) or type(path).__name__ in MISSING:
        return None
    raise ArgumentError(
        f"image {row}: {type(path).__name__} is no path; save it as a file ({ESTIMATOR})"
    )


def _below_one_root(paths: Sequence[str | None]) -> tuple[list[str | None], str]:
    """Write paths relative to the deepest folder that holds them all."""
    known = [path for path in paths if path]
    if not known or any(map(is_address, known)):
        return list(paths), ""
    absolute = {path: os.path.abspath(path) for path in known}
    root = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])
    return [os.path.relpath(absolute[path], root) if path else None for path in paths], root


def _plain(value: Any) -> Any:
    """A value of NumPy, pandas or PyTorch as one of Python; missing ones are None."""
    value = value.item() if hasattr(value, "item") else value
    is_missing = value is None or type(value).__name__ in MISSING
    return None if is_missing or value != value else value


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """Make a column of numbers or of text."""
    plain = [_plain(value) for value in values]
    numbers = [value for value in plain if isinstance(value, int | float | np.number)]
    if numbers and len(numbers) == sum(value is not None for value in plain):
        return pl.Series(name, plain, strict=False)
    return pl.Series(name, [None if value is None else str(value) for value in plain], pl.String)
