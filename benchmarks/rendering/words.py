"""Numbers of results -> the words of pages: digits, intervals, bars, states."""

import re

from harness.results import Line, Value
from harness.scripts import Bar

SIGNED = re.compile(r"^(difference|points)|\bless\b")  # units whose values have a sign
WHOLE = 1_000  # from here on numbers are shown without decimals, with commas
DIGITS = 4
SHOWN = 3  # values in a cell of a table; of more the worst and the best are shown
LONGEST_CELL = 25  # words


def number(value: float, signed: bool = False) -> str:
    """Show a number: four digits, commas from a thousand on.

    Example:
        >>> number(0.95412), number(1234.5), number(2.8e-6)
        ('0.9541', '1,234', '2.8e-6')
    """
    sign = "+" if signed and value > 0 else ""
    if abs(value) >= WHOLE:
        return f"{sign}{value:,.0f}"
    text = f"{value:.{DIGITS}g}"
    mantissa, _, power = text.partition("e")
    return f"{sign}{mantissa}e{int(power)}" if power else f"{sign}{text}"


def with_spread(value: Value, spread: str, signed: bool) -> str:
    """Show a value with its spread: in brackets an interval, in parentheses least and most."""
    if value.low is None or value.high is None:
        return number(value.median, signed)
    parts = [value.median, value.low, value.high]
    shown = [number(part, signed) for part in parts]
    decimals = max(len(text.partition(".")[2]) for text in shown)
    if decimals and not any("e" in text for text in shown):
        shown = [f"{part:{'+' if signed else ''},.{decimals}f}" for part in parts]
    middle, low, high = shown
    return f"{middle} [{low}, {high}]" if "interval" in spread else f"{middle} ({low} to {high})"


def is_signed(unit: str) -> bool:
    """Whether values of a unit are shown with their sign."""
    return SIGNED.search(unit) is not None


def value_words(line: Line, value: Value) -> str:
    """Show a value with what it belongs to."""
    text = with_spread(value, line.spread, is_signed(value.unit or line.unit))
    return f"{value.what}: {text}" if value.what else text


def measured(line: Line) -> str:
    """Show the judged values for a cell of a table: all, or the worst and the best."""
    values = line.judged
    if len(values) > SHOWN:
        worst, best = by_merit(line)
        signed = is_signed(line.unit)
        text = (
            f"{number(worst.median, signed)} ({worst.what}) to "
            f"{number(best.median, signed)} ({best.what})"
        )
    else:
        text = "; ".join(value_words(line, value) for value in values)
    text = f"{text} {line.unit}"
    if len(text.split()) > LONGEST_CELL:
        worst, best = by_merit(line)
        text = f"{number(worst.median)} to {number(best.median)} {line.unit}"
    return text


def by_merit(line: Line) -> tuple[Value, Value]:
    """The worst and the best of the judged values; the least and the most without a bar."""
    bar = line.parsed_bar()
    ordered = sorted(line.judged, key=lambda value: merit(bar, value.median))
    return ordered[0], ordered[-1]


def merit(bar: Bar | None, value: float) -> float:
    """How good a value is, to sort by."""
    if bar is None or bar.op == "least":
        return value
    if isinstance(bar.value, tuple):
        return -abs(value - sum(bar.value) / 2)
    return -value


def bar_words(bar: Bar | None, in_text: bool = False) -> str:
    """Show a bar, for a cell or for a sentence."""
    if bar is None:
        return ""
    if isinstance(bar.value, tuple):
        return f"{number(bar.value[0])} to {number(bar.value[1])}"
    sign = f"at {bar.op}" if in_text else "≥" if bar.op == "least" else "≤"
    return f"{sign} {number(bar.value)}"


def n_words(line: Line) -> str:
    """Show how often something was measured."""
    if line.n is None:
        return ""
    what = line.n_of
    if line.n == 1:
        first, *rest = what.split(" ")
        first = first.removesuffix("es") if first.endswith("sses") else first.removesuffix("s")
        what = " ".join([first, *rest])
    return f"{line.n:,} {what}"


def state(line: Line) -> str:
    """Met or missed; told, where no bar says what must come out."""
    reached = line.reached()
    return "told" if reached is None else "met" if reached else "missed"
