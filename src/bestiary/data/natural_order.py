"""Names -> an order that people expect: `2` before `10`."""

import re

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sorting key under which runs of digits compare as numbers and letters compare without
    case.
    """
    parts = [
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold())
        for part in _DIGITS.split(name)
        if part
    ]
    return parts, name  # the name itself decides between `A1`, `a1` and `a01`
