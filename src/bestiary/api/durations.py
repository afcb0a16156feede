"""TODO api.durations"""

import re

from bestiary.errors import ArgumentError

UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str, option: str = "--checkpoint-every") -> float:
    """Seconds of a duration such as ``50ms``, ``90s``, ``5min`` or ``2h``; infinite for ``never``.
    `option` is named.

    Raises:
        ArgumentError: it is none of these.
    """
    if text.strip() == "never":
        return float("inf")
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(ms|s|min|h)", text.strip())
    if found is None or not float(found[1]):
        raise ArgumentError(f"{option} {text}: is not a duration; give 90s, 5min, 2h or never")
    return float(found[1]) * UNITS[found[2]]
