"""Numbers and class names -> the text that people read; files keep four decimals.

A share is shown in per cent with one decimal, and a no-break space before the sign. The one place
that decides so: pages, charts, the terminal and texts to hand in all use it.
"""

import math

from bestiary.printable import printable_name

NO_BREAK = "\N{NO-BREAK SPACE}"
RANGE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def percent(share: float, decimals: int = 1) -> str:
    r"""Format a share in per cent.

    A share that is neither 0 nor 1 is never rounded to either.

    Args:
        share: 0 to 1.
        decimals: digits after the point.

    Example:
        >>> percent(0.9416), percent(0.99997), percent(1.0)
        ('94.2\xa0%', '>\xa099.9\xa0%', '100.0\xa0%')
    """
    step = 10.0**-decimals
    value = 100 * share
    if 0 < value < step / 2:
        return f"<{NO_BREAK}{step:.{decimals}f}{NO_BREAK}%"
    if 100 - step / 2 <= value < 100:
        return f">{NO_BREAK}{100 - step:.{decimals}f}{NO_BREAK}%"
    return f"{value:.{decimals}f}{NO_BREAK}%"


def percent_range(low: float, high: float, decimals: int = 1) -> str:
    r"""Format an interval of shares in per cent.

    Args:
        low: lower end, 0 to 1.
        high: upper end, 0 to 1.
        decimals: digits after the point.

    Example:
        >>> percent_range(0.893, 0.943)
        '89.3\u201394.3\xa0%'
    """
    return f"{100 * low:.{decimals}f}{RANGE}{100 * high:.{decimals}f}{NO_BREAK}%"


def points(difference: float, decimals: int = 1) -> str:
    r"""Format a difference of two shares in percentage points, with its sign.

    Args:
        difference: -1 to 1.
        decimals: digits after the point.

    Example:
        >>> points(0.018), points(-0.0012), points(0)
        ('+1.8', '\u22120.1', '0.0')
    """
    text = f"{100 * abs(difference):.{decimals}f}"
    if not float(text):
        return text
    return ("+" if difference > 0 else MINUS) + text


def points_range(low: float, high: float, decimals: int = 1) -> str:
    r"""Format an interval of differences in percentage points.

    Args:
        low: lower end, -1 to 1.
        high: upper end, -1 to 1.
        decimals: digits after the point.

    Example:
        >>> points_range(-0.004, 0.021)
        '\u22120.4 to +2.1'
    """
    return f"{points(low, decimals)} to {points(high, decimals)}"


def counted(number: int, one: str, many: str = "") -> str:
    """Format a number with its noun for a line of text, which may be wrapped between them.

    Args:
        number: how many.
        one: the noun for one of them, or the noun with its verb.
        many: the same for all other numbers; empty: `one` with an s.

    Example:
        >>> counted(1, "image is", "images are"), counted(1200, "image")
        ('1 image is', '1,200 images')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def count(number: int, one: str, many: str = "") -> str:
    r"""Format a number with its noun for a page, where they stay on one line.

    Args:
        number: how many.
        one: the noun for one of them.
        many: the noun for all other numbers; empty: `one` with an s.

    Example:
        >>> count(1, "thread"), count(1200, "image"), count(2, "class", "classes")
        ('1\xa0thread', '1,200\xa0images', '2\xa0classes')
    """
    return counted(number, one, many).replace(" ", NO_BREAK, 1)


def duration(seconds: float) -> str:
    r"""Format a time in the two units that matter.

    Args:
        seconds: 0 or more, finite.

    Example:
        >>> duration(0.4), duration(39), duration(143), duration(10931)
        ('0.4\xa0s', '39\xa0s', '2\xa0min 23\xa0s', '3\xa0h 2\xa0min')
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f}{NO_BREAK}s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}{NO_BREAK}s"
    hours, minutes_left = divmod(minutes, 60)
    if not hours:
        return f"{minutes}{NO_BREAK}min {rest}{NO_BREAK}s"
    return f"{hours}{NO_BREAK}h {minutes_left}{NO_BREAK}min"


def plain_name(name: object) -> str:
    r"""Show a class name without underscores; control characters become escapes.

    Args:
        name: of a class.

    Example:
        >>> plain_name("crocodile_head")
        'crocodile head'
    """
    return printable_name(" ".join(str(name).replace("_", " ").split(" "))).strip() or "(no name)"
