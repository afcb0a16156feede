"""Boxes of many samples at a time: numbers -> checked boxes as text, and the names of samples.

Text and names are those that `bestiary.storage.boxes` gives to one box. Knows nothing of images.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.storage.boxes import DECIMALS, FRAGMENT, TOLERANCE, checked_box

Millionths = NDArray[np.int64]  # (boxes, 4), of the image
PLACES = DECIMALS + 2  # of a share
WHOLE = 10**PLACES
NEAR_HALF = 1e-3  # of a millionth: so near to a half, the digits of a number decide how it rounds
NO_LIST = "a box is no list of 4 numbers"


def check_boxes(
    values: Sequence[object] | NDArray[np.float64],
) -> tuple[pl.Series, dict[int, str]]:
    """Check boxes, as `bestiary.storage.boxes.checked_box` checks one.

    Args:
        values: Of each box left, top, width and height as shares of its image; whatever a file of a
            stranger has instead.

    Returns:
        The boxes as text, null where one is none; and the place and reason of each of these.

    Example:
        >>> boxes, reasons = check_boxes([[0.1, 0.25, 0.3, 0.4], [0.9, 0, 0.3, 1], "x"])
        >>> boxes.to_list()
        ['0.1,0.25,0.3,0.4', None, None]
        >>> reasons
        {1: 'box 0.9,0,0.3,1 lies outside of the image', 2: 'a box is no list of 4 numbers'}
    """
    numbers, reasons = _numbers_of(values)
    x, y, width, height = numbers.T
    with np.errstate(invalid="ignore", over="ignore"):
        is_inside = (np.minimum(x, y) >= -TOLERANCE) & (
            np.maximum(x + width, y + height) <= 1 + TOLERANCE
        )
        good = np.isfinite(numbers).all(axis=1) & (width > 0) & (height > 0) & is_inside
    corners = np.stack([x, y, x + width, y + height], axis=1)
    edges = _millionths(np.clip(np.where(good[:, None], corners, 0), 0, 1))
    boxes = np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=1)
    good &= (boxes[:, 2:] > 0).all(axis=1)
    for place in np.flatnonzero(~good).tolist():
        if place not in reasons:
            try:
                checked_box(numbers[place].tolist())
            except ValueError as error:
                reasons[place] = str(error)
    text = pl.DataFrame(boxes, schema=["x", "y", "width", "height"], orient="row").select(
        pl.concat_str(
            [_decimal(pl.col(name), PLACES) for name in ("x", "y", "width", "height")],
            separator=",",
        )
    )
    return text.to_series().set(pl.Series(~good), None).alias("box"), dict(sorted(reasons.items()))


def name_boxes(paths: pl.Series, boxes: pl.Series) -> pl.Series:
    """Name boxes, as `bestiary.storage.boxes.path_with_box` names one.

    Args:
        paths: Of the image of each sample.
        boxes: As `check_boxes` writes them; null: the sample is the whole image.

    Example:
        >>> names = name_boxes(pl.Series(["a.jpg", "b.jpg"]), pl.Series(["0.1,0.25,0.3,0.4", None]))
        >>> names.to_list()
        ['a.jpg#xywh=percent:10,25,30,40', 'b.jpg']
    """
    parts = boxes.str.split_exact(",", 3).struct.unnest()
    percents = parts.select(
        pl.concat_str(
            [
                _decimal((pl.col(name).cast(pl.Float64) * WHOLE).round().cast(pl.Int64), DECIMALS)
                for name in parts.columns
            ],
            separator=",",
        )
    ).to_series()
    return pl.select(pl.coalesce(paths + FRAGMENT + percents, paths).alias("path")).to_series()


def _numbers_of(
    values: Sequence[object] | NDArray[np.float64],
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """The numbers (boxes, 4), not a number where a box has no four; and why."""
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if numbers.shape == (len(values), 4):
        return numbers, {}
    numbers = np.full((len(values), 4), np.nan)
    reasons = {}
    for place, value in enumerate(values):
        try:
            one = [float(number) for number in value] if isinstance(value, list | tuple) else None
        except (TypeError, ValueError, OverflowError):
            one = None
        if one is None:
            reasons[place] = NO_LIST
            continue
        if len(one) == 4:
            numbers[place] = one
        else:
            reasons[place] = f"a box has 4 numbers, not {len(one)}"
    return numbers, reasons


def _millionths(shares: NDArray[np.float64]) -> Millionths:
    """Round shares from 0 to 1 to whole millionths, as Python's `round` rounds them."""
    scaled = shares * WHOLE
    whole = np.rint(scaled)
    unclear = np.abs(np.abs(scaled - whole) - 0.5) < NEAR_HALF
    if unclear.any():
        whole[unclear] = [round(round(one, PLACES) * WHOLE) for one in shares[unclear].tolist()]
    return np.asarray(whole, np.int64)


def _decimal(units: pl.Expr, places: int) -> pl.Expr:
    """Write units of the last of `places` decimals as a decimal number without trailing zeros."""
    size = 10**places
    fraction = (units % size + size).cast(pl.String).str.slice(1).str.strip_chars_end("0")
    whole = (units // size).cast(pl.String)
    return pl.when(fraction == "").then(whole).otherwise(whole + "." + fraction)
