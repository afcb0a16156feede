"""Names -> a natural sort order: `2` before `10`, letters without case."""

import re

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Make a sort key that compares runs of digits as numbers and letters without case.

    Args:
        name: Any text.

    Returns:
        A key that differs for different names: the name itself decides between `A1`, `a1`, `a01`.
    """
    parts = []
    for part in _DIGITS.split(name):
        if part:
            parts.append(_part_key(part))
    return parts, name


def _part_key(part: str) -> tuple[int, int, str]:
    """Make a key of a run of digits or of other characters; digits come first."""
    is_number = part.isdecimal() and part.isascii()
    if is_number:
        return 0, int(part), ""
    return 1, 0, part.casefold()
