"""Two axes with round ticks, for charts of one number by another."""

from collections.abc import Callable, Sequence

import numpy as np

from bestiary.numbers import percent
from bestiary.reporting.drawing import EDGE, INK, QUIET, REST, Drawing

# Size and margins of a plot, in units of the drawing.
WIDTH = 420.0
HEIGHT = 290.0
LEFT = 54.0
RIGHT = 18.0
TOP = 16.0
BOTTOM = 42.0

TICK_SIZE = 12.0


def whole_percent(value: float) -> str:
    """Format a tick of an axis of shares: whole per cent, unless the tick lies between them."""
    decimals = 0 if abs(100 * value - round(100 * value)) < 0.01 else 1
    return percent(value, decimals)


class Axes:
    """A drawing with two axes.

    Args:
        title: what the drawing shows.
        x: least and most value of the horizontal axis.
        y: least and most value of the vertical axis.
        names: labels of the axes, x first; an empty one has none.
        ticks: values of the ticks of the horizontal axis; None chooses round ones.
        formats: of the ticks, x first.
        log_x: whether the horizontal axis is logarithmic.
    """

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        names: tuple[str, str],
        *,
        ticks: Sequence[float] | None = None,
        formats: tuple[Callable[[float], str], Callable[[float], str]] = (
            whole_percent,
            whole_percent,
        ),
        log_x: bool = False,
    ) -> None:
        self.drawing = Drawing(WIDTH, HEIGHT, title)
        self.x = x
        self.y = y
        self.log_x = log_x
        self._draw_y_ticks(names[1], formats[1])
        self._draw_x_axis(names[0], round_ticks(*x) if ticks is None else ticks, formats[0])

    def _draw_y_ticks(self, name: str, form: Callable[[float], str]) -> None:
        for value in round_ticks(*self.y):
            height = self.position(self.x[0], value)[1]
            self.drawing.line([(LEFT, height), (WIDTH - RIGHT, height)], EDGE, 0.8)
            self.drawing.words(LEFT - 6, height + 4, form(value), "end", TICK_SIZE, QUIET)
        if name:
            self.drawing.words(LEFT - 44, TOP - 4, name, "start", TICK_SIZE, QUIET)

    def _draw_x_axis(
        self, name: str, values: Sequence[float], form: Callable[[float], str]
    ) -> None:
        floor = HEIGHT - BOTTOM
        for value in values:
            across = self.position(value, self.y[0])[0]
            self.drawing.line([(across, floor), (across, floor + 4)], REST, 1)
            self.drawing.words(across, floor + 17, form(value), "middle", TICK_SIZE, QUIET)
        self.drawing.line([(LEFT, floor), (WIDTH - RIGHT, floor)], REST, 1)
        middle = (LEFT + WIDTH - RIGHT) / 2
        self.drawing.words(middle, HEIGHT - 6, name, "middle", TICK_SIZE, QUIET)

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a value on the drawing; both are clipped to the axes."""
        left, right = (np.log(self.x) if self.log_x else self.x)[:2]
        across = ((np.log(x) if self.log_x else x) - left) / (right - left)
        across = min(max(across, 0.0), 1.0)
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        return (
            float(LEFT + across * (WIDTH - RIGHT - LEFT)),
            float(HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)),
        )

    def line(
        self,
        x: Sequence[float],
        y: Sequence[float],
        color: str,
        note: str = "",
        dashed: bool = False,
        width: float = 1.8,
    ) -> None:
        """Draw a line through values.

        Args:
            x: horizontal values, at least two.
            y: vertical values.
            color: color of the line.
            note: tooltip.
            dashed: whether the line is dashed.
            width: of the line.
        """
        points = [self.position(a, b) for a, b in zip(x, y, strict=True)]
        self.drawing.line(points, color, width, dashed, note)

    def dot(
        self,
        x: float,
        y: float,
        color: str,
        interval: tuple[float, float] | None = None,
        note: str = "",
        ring: bool = False,
    ) -> None:
        """Draw a dot, with its interval as a vertical line.

        Args:
            x: horizontal value.
            y: vertical value.
            color: color of both.
            interval: lower and upper end.
            note: tooltip.
            ring: whether the dot is hollow: estimated, not measured.
        """
        if interval:
            self.line([x, x], list(interval), color, note, width=1.6)
        left, top = self.position(x, y)
        self.drawing.dot(left, top, 4.2, color, ring=ring, note=note)

    def words(
        self,
        x: float,
        y: float,
        text: str,
        shift: tuple[float, float] = (0, 0),
        anchor: str = "start",
        color: str = INK,
        bold: bool = False,
    ) -> None:
        """Write a label at a value.

        Args:
            x: horizontal value.
            y: vertical value.
            text: the label.
            shift: from the value, in units of the drawing.
            anchor: start, middle or end.
            color: of the text.
            bold: whether it is bold.
        """
        left, top = self.position(x, y)
        self.drawing.words(
            left + shift[0], top + shift[1], text, anchor, TICK_SIZE, color, bold=bold
        )


def round_ticks(low: float, high: float, about: int = 5, least: float = 0.0) -> list[float]:
    """Choose round values for an axis.

    Args:
        low: least value of the axis.
        high: most value of the axis.
        about: the most ticks to aim for.
        least: the least step.

    Returns:
        Values in `low` to `high`.
    """
    span = high - low
    power = 10 ** np.floor(np.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about)
    step = max(step, least)
    first = np.ceil(low / step - 1e-9)
    last = np.floor(high / step + 1e-9)
    return [round(float(n * step), 10) + 0.0 for n in np.arange(first, last + 1)]
