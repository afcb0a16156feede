"""The column box of a table -> a listing of the boxes: one sample each.

Boxes of one image share a group. Knows nothing of detectors.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from bestiary.data.folds import join_groups
from bestiary.data.image_size import upright_size
from bestiary.data.listing_types import Listing
from bestiary.errors import ImageError
from bestiary.storage.boxes import Box, BoxFolder, checked_box, path_with_box
from bestiary.storage.files import Root


def box_samples(table: pl.DataFrame) -> pl.DataFrame:
    """Name each box, and put those of one image into one group.

    Args:
        table: One row a box; path is that of the image. Rows without a box stay whole images.

    Returns:
        The table with the column image, sorted by path.
    """
    names = [
        path if box is None else path_with_box(path, Box(*map(float, box.split(","))))
        for path, box in table.select("path", "box").iter_rows()
    ]
    table = table.with_columns(image=pl.col("path"), path=pl.Series(names, dtype=pl.String))
    joined = pl.Series("joined", join_groups(table["group"], table["image"]))
    group = pl.col("group").min().over("joined")
    image = pl.col("image").min().over("joined")
    table = table.with_columns(joined).with_columns(pl.coalesce(group, image).alias("group"))
    return table.drop("joined").sort("path")


def add_table_boxes(listing: Listing) -> Listing:
    """Turn the rows of a table with the column box into samples; unchanged where it has none.

    Boxes are shares of the image where no value is above 1, and else pixels.

    Args:
        listing: As read; one path may have several rows.

    Returns:
        The listing. Rows whose box is none are unusable.
    """
    table = listing.table
    if "box" not in table.columns or table["box"].null_count() == table.height:
        return listing
    numbers = [_numbers(text) for text in table["box"]]
    in_pixels = any(max(values, default=0) > 1 for values in numbers if isinstance(values, list))
    boxes: list[str | None] = []
    unusable = dict(listing.unusable)
    sizes: dict[str, tuple[int, int] | str] = {}
    for path, values in zip(table["path"], numbers, strict=True):
        box = None
        if values is not None:
            box = _checked(listing.root, path, values, sizes if in_pixels else None)
        if isinstance(box, ValueError):
            unusable.setdefault(path, str(box))
        boxes.append(None if box is None or isinstance(box, ValueError) else str(box))
    is_bad = (
        pl.Series([values is not None for values in numbers])
        & pl.Series(boxes, dtype=pl.String).is_null()
    )
    rows = table.with_columns(pl.Series("box", boxes, pl.String)).filter(~is_bad)
    units = "pixels" if in_pixels else "shares of the image, since no value is above 1"
    note = f"Boxes: the column box is read as x, y, width, height in {units}"
    return replace(
        listing,
        root=BoxFolder(listing.root),
        table=box_samples(rows),
        unusable=sorted(unusable.items()),
        notes=[*listing.notes, note],
    )


def _numbers(text: str | None) -> list[float] | str | None:
    """The numbers of a box; the text itself where it has none."""
    if text is None:
        return None
    parts = text.strip("[](){} ").replace(";", ",").replace(" ", ",").split(",")
    try:
        return [float(part) for part in parts if part]
    except ValueError:
        return text


def _checked(
    root: Root,
    path: str,
    values: list[float] | str,
    sizes: dict[str, tuple[int, int] | str] | None,
) -> Box | ValueError:
    """A box in shares, or why it is none; `sizes` are those of images where it is in pixels."""
    if isinstance(values, str):
        return ValueError(f"box {values[:40]!r} is no list of 4 numbers")
    try:
        if sizes is None:
            return checked_box(values)
        if path not in sizes:
            sizes[path] = _size(root, path)
        size = sizes[path]
        if isinstance(size, str):
            return ValueError(size)
        height, width = size
        units: Sequence[int] = (width, height, width, height)
        return checked_box([one / unit for one, unit in zip(values, units, strict=True)])
    except ValueError as error:
        return error


def _size(root: Root, path: str) -> tuple[int, int] | str:
    try:
        return upright_size(root / path)
    except ImageError as error:
        return error.reason
