"""Times as people and cameras write them -> ISO 8601 text, and seconds to compare.

A time may have no zone: then it is that of the camera's own clock. Times are text in tables, so
that a zone, or its absence, stays as it was. Knows nothing of images.
"""

import re
from datetime import UTC, datetime

import polars as pl

EXPECTED_TIME = "2026-12-31 23:59:59"
_TIME = re.compile(
    r"(?P<date>\d{4}([-:/])\d{1,2}\2\d{1,2})"
    r"(?:(?:T| +)(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{1,2}:?\d{2})?)?",
    re.IGNORECASE,
)


def iso_time(text: str) -> str | None:
    """Write a time as ISO 8601.

    Args:
        text: Year, month, day, and optionally a time of day and its zone. A date written day first
            could be read in two ways, and is refused.

    Returns:
        The time, with its zone if there is one; a date alone stays one. None: it is no such time.

    Example:
        >>> iso_time("2026:07:01 5:03:20")
        '2026-07-01T05:03:20'
        >>> iso_time("2026-07-01 05:03 +0200")
        '2026-07-01T05:03:00+02:00'
        >>> iso_time("01/07/2026") is None
        True
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day = (int(part) for part in re.split(r"\D", match["date"]))
    hour, minute, second, fraction = _clock(match["clock"] or "0:00")
    try:
        moment = datetime(year, month, day, hour, minute, second, fraction)
    except ValueError:  # such as 30 February
        return None
    if match["clock"] is None:
        return moment.date().isoformat()
    zone = _zone(match["zone"] or "")
    return None if zone is None else moment.isoformat() + zone


def _clock(text: str) -> tuple[int, int, int, int]:
    """Hour, minute, second and microsecond of a time of day."""
    hour, minute, second = [*text.split(":"), "0"][:3]
    whole, _, decimals = second.partition(".")
    return int(hour), int(minute), int(whole), int(decimals[:6].ljust(6, "0") or 0)


def _zone(text: str) -> str | None:
    """A zone as +HH:MM; empty if there is none, None if no place on Earth has it."""
    if not text:
        return ""
    if text[0] not in "+-":
        return "+00:00"
    hours, minutes = int(text[1:-2].rstrip(":")), int(text[-2:])
    return f"{text[0]}{hours:02}:{minutes:02}" if hours <= 14 and minutes < 60 else None


def iso_of_seconds(seconds: float) -> str:
    """Write seconds since 1970 of a clock without zone as ISO 8601.

    Example:
        >>> iso_of_seconds(1_782_882_200.0)
        '2026-07-01T05:03:20'
    """
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat()


def time_seconds(times: pl.Series) -> pl.Series:
    """Turn times into seconds, to sort and subtract them.

    Args:
        times: ISO 8601 as from `iso_time`; of one camera, since clocks without a zone differ.

    Returns:
        Seconds since 1970, float64; null where there is no time of day.

    Example:
        >>> time_seconds(pl.Series(["2026-07-01T05:03:20", "2026-07-01T05:03:20+02:00"])).to_list()
        [1782882200.0, 1782875000.0]
    """
    return times.map_elements(_seconds, return_dtype=pl.Float64)


def _seconds(text: str) -> float | None:
    if "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):  # a run of a stranger, or the last hours of the year 9999
        return None
