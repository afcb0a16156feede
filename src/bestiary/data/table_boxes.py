"""The column box of a table -> a listing of the boxes: one sample each.

Boxes of one image share a group. Knows nothing of detectors.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from bestiary.data.box_columns import check_boxes, name_boxes
from bestiary.data.folds import join_groups
from bestiary.data.image_size import upright_size
from bestiary.data.listing_types import Listing
from bestiary.errors import ImageError
from bestiary.numbers import counted
from bestiary.storage.boxes import TOLERANCE, BoxFolder
from bestiary.storage.files import Root


def box_samples(table: pl.DataFrame) -> pl.DataFrame:
    """Name each box, and put those of one image into one group.

    Args:
        table: One row a box; path is that of the image. Rows without a box stay whole images.

    Returns:
        The table with the column image, sorted by path.
    """
    names = name_boxes(table["path"], table["box"])
    table = table.with_columns(image=pl.col("path"), path=names)
    joined = pl.Series("joined", join_groups(table["group"], table["image"]))
    group = pl.col("group").min().over("joined")
    image = pl.col("image").min().over("joined")
    table = table.with_columns(joined).with_columns(pl.coalesce(group, image).alias("group"))
    return table.drop("joined").sort("path")


def add_table_boxes(listing: Listing) -> Listing:
    """Turn the rows of a table with the column box into samples; unchanged where it has none.

    Boxes are in pixels where most of them have a value above 1, and else shares of the image.

    Args:
        listing: As read; one path may have several rows.

    Returns:
        The listing. Rows whose box is none are unusable.
    """
    table = listing.table
    if "box" not in table.columns or table["box"].null_count() == table.height:
        return listing
    with_box = table.drop_nulls("box")
    numbers = {text: _numbers(text) for text in with_box["box"].unique()}
    values = [numbers[text] for text in with_box["box"]]
    in_pixels = _are_pixels(values)
    paths = with_box["path"].to_list()
    shares, reasons = _in_shares(listing.root, paths, values) if in_pixels else (values, {})
    boxes, others = check_boxes(shares)
    for place, reason in others.items():
        text = values[place]
        reasons.setdefault(
            place, f"box {text[:40]!r} is no list of 4 numbers" if isinstance(text, str) else reason
        )
    unusable = dict(listing.unusable)
    for place, reason in sorted(reasons.items()):
        unusable.setdefault(paths[place], reason)
    whole = table.filter(pl.col("box").is_null())
    rows = pl.concat([with_box.with_columns(boxes).drop_nulls("box"), whole])
    n_rows = rows.height
    rows = rows.unique(["path", "box"], keep="first", maintain_order=True)
    units = "pixels" if in_pixels else "shares of the image, since most have no value above 1"
    notes = [f"Boxes: the column box is read as x, y, width, height in {units}"]
    if rows.height < n_rows:
        n_repeated = n_rows - rows.height
        notes.append(f"Boxes: {counted(n_repeated, 'row repeats', 'rows repeat')} another one")
    return replace(
        listing,
        root=BoxFolder(listing.root),
        table=box_samples(rows),
        unusable=sorted(unusable.items()),
        notes=[*listing.notes, *notes],
    )


def _numbers(text: str) -> list[float] | str:
    """The numbers of a box; the text itself where it has none."""
    parts = text.strip("[](){} ").replace(";", ",").replace(" ", ",").split(",")
    try:
        return [float(part) for part in parts if part]
    except ValueError:
        return text


def _are_pixels(values: Sequence[list[float] | str]) -> bool:
    """Whether boxes are in pixels: a box of more than a pixel has a value above 1."""
    largest = [max(one, default=0.0) for one in values if isinstance(one, list)]
    return sum(one > 1 + TOLERANCE for one in largest) * 2 > len(largest)


def _in_shares(
    root: Root, paths: Sequence[str], values: Sequence[list[float] | str]
) -> tuple[list[object], dict[int, str]]:
    """Divide boxes in pixels by the sizes of their images; the place and reason of those without.

    Each image is opened once.
    """
    sizes: dict[str, tuple[int, int] | str] = {}
    shares: list[object] = []
    reasons = {}
    for place, (path, numbers) in enumerate(zip(paths, values, strict=True)):
        shares.append(None)
        if isinstance(numbers, str) or len(numbers) != 4:
            shares[place] = numbers
            continue
        if path not in sizes:
            sizes[path] = _size(root, path)
        size = sizes[path]
        if isinstance(size, str):
            reasons[place] = size
        elif max(numbers) <= 1:
            reasons[place] = "a box has no value above 1, and most others are in pixels"
        else:
            height, width = size
            shares[place] = [
                one / unit for one, unit in zip(numbers, (width, height) * 2, strict=True)
            ]
    return shares, reasons


def _size(root: Root, path: str) -> tuple[int, int] | str:
    try:
        return upright_size(root / path)
    except ImageError as error:
        return error.reason
