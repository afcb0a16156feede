"""Parse durations such as 50ms, 90s, 5min or 2h."""

import re

from bestiary.errors import ArgumentError

SECONDS_OF = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str, option: str = "--checkpoint-every") -> float:
    """Parse a duration.

    Args:
        text: such as ``50ms``, ``90s``, ``5min``, ``2h`` or ``never``.
        option: the option that it is for, named in the error.

    Returns:
        Seconds, above 0; infinity for ``never``.

    Raises:
        ArgumentError: the text is not a duration.

    Example:
        >>> parse_duration("5min"), parse_duration("never")
        (300.0, inf)
    """
    if text.strip() == "never":
        return float("inf")
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(ms|s|min|h)", text.strip())
    if match is None or not float(match[1]):
        raise ArgumentError(f"{option} {text}: is not a duration; give 90s, 5min, 2h or never")
    return float(match[1]) * SECONDS_OF[match[2]]
