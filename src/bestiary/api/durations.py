"""Parse durations such as 50ms, 90s, 5min or 2h."""

import re
from collections.abc import Sequence

from bestiary.errors import ArgumentError, alternatives

SECONDS_OF = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
NEVER = "never"
CHECKPOINT_TIMES = ("90s", "5min", "2h", NEVER)
"""What ``--checkpoint-every`` takes."""


def parse_duration(text: str, option: str, accepted: Sequence[str]) -> float:
    """Parse a duration.

    Args:
        text: such as ``50ms``, ``90s``, ``5min``, ``2h`` or, where it is accepted, ``never``.
        option: the option that it is for, named in the error.
        accepted: what the error names as examples: durations, and each word that the option takes.

    Returns:
        Seconds, above 0; infinity for ``never``.

    Raises:
        ArgumentError: the text is not a duration.

    Example:
        >>> parse_duration("5min", "--budget", ["90s"])
        300.0
        >>> parse_duration("never", "--checkpoint-every", ["90s", "never"])
        inf
    """
    plain = str(text).strip()
    if plain == NEVER and NEVER in accepted:
        return float("inf")
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)\s*(ms|s|min|h)", plain)
    if match is None or not float(match[1]):
        raise ArgumentError(f"{option} {text}: is not a duration; give {alternatives(accepted)}")
    return float(match[1]) * SECONDS_OF[match[2]]
