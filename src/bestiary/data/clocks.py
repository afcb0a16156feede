"""Images with a time -> those whose camera's clock cannot be right: their times say nothing.

A clock that was never set starts at some year, one that lost its power starts again. A time is
doubted if it lies in the future or before 1990, or if it goes back while the numbers of one
camera's files go on. The row stays, and so does its time in tables; events and the prior of place
and month do without it. Knows nothing of events and pixels.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.times import time_seconds
from bestiary.numbers import count

FIRST_DAY = "1990-01-01"  # no digital camera is older
MIN_BACK = 3_660.0  # seconds: a clock may go back by an hour in autumn
MIN_FILES = 10  # of one camera, so that their numbers are known to follow the time
MAX_BACK_SHARE = 0.1  # of the steps; where more go back, the numbers do not follow the time
LAST_NUMBER = 9_990  # a camera counts to 9999 and starts again, and then numbers do not tell
FUTURE, EARLY, BACK = "in the future", f"before {FIRST_DAY[:4]}", "going back"
REASONS = (FUTURE, EARLY, BACK)


def doubt_clocks(table: pl.DataFrame, now: datetime | None = None) -> pl.Series:
    """Find the images whose time cannot be right.

    Args:
        table: Rows of a manifest or of a listing: path, and if known time, camera and site.
        now: Times more than a day later are in the future; None: the present.

    Returns:
        One of `REASONS` for each image; null: nothing is known against its time.

    Example:
        >>> table = pl.DataFrame(
        ...     {"path": ["a.jpg", "b.jpg"], "time": ["1970-01-01T00:00:09", "2026-07-01"]}
        ... )
        >>> doubt_clocks(table, datetime(2026, 8, 1, tzinfo=UTC)).to_list()
        ['before 1990', None]
    """
    if "time" not in table.columns:
        return pl.Series("doubt", [None] * table.height, pl.String)
    last_day = ((now or datetime.now(UTC)) + timedelta(days=1)).date().isoformat()
    day = table["time"].str.slice(0, 10)
    reasons = pl.select(
        pl.when(day > last_day).then(pl.lit(FUTURE)).when(day < FIRST_DAY).then(pl.lit(EARLY))
    ).to_series()
    back = _going_back(table.filter(reasons.is_null()))
    is_back = table["path"].is_in(back.implode()) & reasons.is_null()
    return reasons.set(is_back, BACK).alias("doubt")


def trust_clocks(table: pl.DataFrame) -> pl.DataFrame:
    """Take away the times that `doubt_clocks` finds."""
    if "time" not in table.columns:
        return table
    return without_times(table, table["path"].filter(doubt_clocks(table).is_not_null()))


def without_times(table: pl.DataFrame, paths: pl.Series) -> pl.DataFrame:
    """Take the times of some images away.

    Args:
        table: path, and time if known.
        paths: Of those images.
    """
    if not len(paths) or "time" not in table.columns:
        return table
    time = pl.when(~pl.col("path").is_in(paths.implode())).then(pl.col("time"))
    return table.with_columns(time.alias("time"))


def describe_clocks(table: pl.DataFrame) -> str:
    """Say how many times are doubted; one line, empty if none is or none matters."""
    if not {"site", "lat"} & set(table.columns):  # neither events nor places
        return ""
    doubts = doubt_clocks(table)
    if doubts.null_count() == table.height:
        return ""
    counts = [(reason, int((doubts == reason).sum())) for reason in REASONS]
    told = ", ".join(f"{n:,} {reason}" for reason, n in counts if n)
    first = table.filter(doubts.is_not_null()).row(0, named=True)
    times = count(doubts.count(), "time")
    return (
        f"Clocks: {times} cannot be right ({told}), such as {first['time']} of {first['path']!r}; "
        f"the images are kept, without a time for events and the prior"
    )


def _going_back(table: pl.DataFrame) -> pl.Series:
    """Paths of the images that are earlier than others of their camera with smaller numbers."""
    image = pl.col("image" if "image" in table.columns else "path")
    keys = [name for name in ("site", "camera") if name in table.columns]
    files = (
        table.with_columns(seconds=time_seconds(table["time"]))
        .with_columns(image.str.extract(r"^(.*?)\d+\.\w+$").alias("stem"))
        .with_columns(image.str.extract(r"(\d{1,15})\.\w+$").cast(pl.Int64).alias("number"))
        .drop_nulls(["stem", "number", "seconds", *keys[:1]])
        .sort(*keys, "stem", "number")
    )
    back: list[str] = []
    for _, camera in files.group_by([*keys, "stem"], maintain_order=True):
        if camera.height >= MIN_FILES and camera["number"][-1] < LAST_NUMBER:
            is_back = _out_of_order(camera["seconds"].to_numpy())
            back += camera["path"].filter(pl.Series(is_back, dtype=pl.Boolean)).to_list()
    return pl.Series(back, dtype=pl.String)


def _out_of_order(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Flag the fewest times without which the rest never goes back."""
    flags = np.zeros(len(seconds), np.bool_)
    steps = np.diff(seconds)
    n_back = int((steps < -MIN_BACK).sum())
    if n_back and n_back <= MAX_BACK_SHARE * len(steps):
        flags[:] = True
        flags[_longest_rise(seconds.tolist())] = False
    return flags


def _longest_rise(values: Sequence[float]) -> list[int]:
    """Places of the longest part of a list that never falls."""
    ends: list[float] = []  # least end of a rise of each length
    places: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        length = bisect_right(ends, value)
        before.append(places[length - 1] if length else -1)
        ends[length : length + 1] = [value]
        places[length : length + 1] = [place]
    rise = []
    place = places[-1]
    while place >= 0:
        rise.append(place)
        place = before[place]
    return rise
