"""Images with a site and a time -> events: frames of one site that follow each other closely.

A camera that is triggered takes several frames of one animal. They are one piece of evidence: they
stay in one fold, and can have one answer. Unlike `scenes`, this asks the user's table alone and not
the pixels. Knows nothing of folds and answers.
"""

import numpy as np
import polars as pl

from bestiary.data.clocks import trust_clocks
from bestiary.data.scenes import join_scenes
from bestiary.data.times import time_seconds
from bestiary.numbers import counted

EVENT = "event"


def find_events(table: pl.DataFrame, max_seconds: float) -> pl.Series | None:
    """Find the events of images.

    Args:
        table: Rows of a manifest or of a listing. A column event of the user's is taken as it is.
        max_seconds: Longest time between two frames of a site; 0: nothing is looked for.

    Returns:
        The event of each image, named after its first frame; null where site or time are not known,
        or the time cannot be right. None: the images have no events.

    Example:
        >>> table = pl.DataFrame(
        ...     {
        ...         "path": ["a.jpg", "b.jpg", "c.jpg"],
        ...         "site": ["brook"] * 3,
        ...         "time": [f"2026-07-01T05:00:{second}" for second in ("00", "20", "55")],
        ...     }
        ... )
        >>> find_events(table, 30).to_list()
        ['a.jpg', 'a.jpg', 'c.jpg']
    """
    if EVENT in table.columns:
        return table[EVENT]
    if not max_seconds or not {"site", "time"} <= set(table.columns):
        return None
    frames = (
        table.select("path", "site", time_seconds(trust_clocks(table)["time"]).alias("seconds"))
        .with_row_index("row")
        .drop_nulls(["site", "seconds"])
        .sort("site", "seconds", "path")
    )
    if frames.is_empty():
        return None
    gap = pl.col("seconds").diff().fill_null(np.inf)
    is_new_site = pl.col("site") != pl.col("site").shift()
    begins = ((gap > max_seconds) | is_new_site.fill_null(True)).cum_sum()
    events = frames.with_columns(pl.col("path").first().over(begins).alias(EVENT))
    names = np.full(table.height, None, object)
    names[events["row"].to_numpy()] = events[EVENT].to_list()
    return pl.Series(EVENT, names.tolist(), pl.String)


def join_events(table: pl.DataFrame, max_seconds: float) -> pl.DataFrame:
    """Add the column event, and put the frames of an event into one group.

    Args:
        table: Columns as of a manifest.
        max_seconds: See `find_events`.

    Returns:
        The table; as it is if the images have no events.
    """
    events = find_events(table, max_seconds)
    if events is None:
        return table
    table = table.with_columns(events.alias(EVENT))
    frames = table.select("path", pl.col(EVENT).alias("scene")).drop_nulls()
    is_shared = pl.len().over("scene") > 1
    return join_scenes(table, frames.filter(is_shared))


def describe_events(table: pl.DataFrame, max_seconds: float) -> str:
    """Say how many events images have.

    Args:
        table: With the column event, if there are any.
        max_seconds: See `find_events`.

    Returns:
        One line; empty if no event has two images.
    """
    if EVENT not in table.columns:
        return ""
    sizes = table[EVENT].drop_nulls().value_counts()["count"]
    if not (sizes > 1).any():
        return ""
    return (
        f"Events: {counted(int(sizes.sum()), 'image')} in {counted(len(sizes), 'event')}; an event "
        f"stays in one fold (the column event, or images of one site at most {max_seconds:g} s "
        f"apart: --set data.event_seconds={max_seconds:g})"
    )
