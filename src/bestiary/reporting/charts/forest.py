"""Values with intervals -> a forest plot: one row a value, on one axis, labeled directly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bestiary.reporting.charts.axes import round_ticks, whole_percent
from bestiary.reporting.charts.chart import cut
from bestiary.reporting.drawing import EDGE, HIT, INK, MISS, QUIET, REST, Drawing

ROW = 21.0
TOP = 24.0
FOOT = 20.0
SIZE = 12.0
WIDE = 620.0
NARROW = 340.0
NARROW_ROW = 38.0
NAME_ROOM = 0.27  # of a wide drawing's width
ASIDE_ROOM = 0.29


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A row of a forest plot.

    Attributes:
        name: what is measured.
        value: the value.
        low: lower end of its interval.
        high: upper end.
        note: tooltip.
        aside: text at the right.
        color: of dot and line.
        hollow: whether the value is an estimate, not a measurement.
    """

    name: str
    value: float
    low: float
    high: float
    note: str = ""
    aside: str = ""
    color: str = HIT
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A vertical line to compare with.

    Attributes:
        value: where it stands.
        name: its label at the foot; empty for none.
        color: of both.
    """

    value: float
    name: str
    color: str = QUIET


@dataclass(frozen=True, slots=True)
class _Layout:
    drawing: Drawing
    left: float  # of the axis
    right: float
    low: float
    high: float
    row: float
    narrow: bool

    def across(self, value: float) -> float:
        share = (value - self.low) / max(self.high - self.low, 1e-9)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)


def forest(
    title: str,
    rows: Sequence[ForestRow],
    span: tuple[float, float],
    references: Sequence[Reference] = (),
    *,
    form: Callable[[float], str] = whole_percent,
    narrow: bool = False,
    aside_color: str = MISS,
) -> Drawing:
    """Draw a forest plot.

    Args:
        title: what it shows.
        rows: from top to bottom.
        span: least and most value of the axis.
        references: lines to compare with.
        form: format of the ticks.
        narrow: for a screen of 400 pixels: the names stand above their lines.
        aside_color: of the texts at the right.

    Returns:
        The drawing.
    """
    width = NARROW if narrow else WIDE
    row_height = NARROW_ROW if narrow else ROW
    drawing = Drawing(width, TOP + row_height * len(rows) + FOOT, title)
    has_asides = any(row.aside for row in rows)
    left = 8.0 if narrow else width * NAME_ROOM
    right = width - 8.0 if narrow or not has_asides else width * (1 - ASIDE_ROOM)
    layout = _Layout(drawing, left, right, *span, row_height, narrow)
    _draw_ticks(layout, len(rows), form)
    for reference in references:
        _draw_reference(layout, reference, len(rows))
    for index, row in enumerate(rows):
        _draw_row(layout, row, TOP + row_height * index, aside_color)
    return drawing


def _draw_ticks(layout: _Layout, rows: int, form: Callable[[float], str]) -> None:
    floor = TOP + layout.row * rows
    ticks = round_ticks(layout.low, layout.high, 5)
    for value in ticks:
        x = layout.across(value)
        layout.drawing.line([(x, TOP), (x, floor)], EDGE, 0.8)
        # The outermost labels stay inside the drawing
        edge = "end" if x > layout.drawing.width - 20 else "start" if x < 20 else "middle"
        layout.drawing.words(x, TOP - 8, form(value), edge, SIZE - 0.5, QUIET)


def _draw_reference(layout: _Layout, reference: Reference, rows: int) -> None:
    floor = TOP + layout.row * rows
    x = layout.across(reference.value)
    layout.drawing.line([(x, TOP), (x, floor + 3)], reference.color, 1.2, True, reference.name)
    at_right = x > layout.left + 0.75 * (layout.right - layout.left)
    anchor = "end" if at_right else "middle"
    layout.drawing.words(
        min(x + 30, layout.drawing.width) if at_right else x,
        floor + 15,
        reference.name,
        anchor,
        SIZE - 0.5,
        reference.color,
    )


def _draw_row(layout: _Layout, row: ForestRow, top: float, aside_color: str) -> None:
    drawing = layout.drawing
    y = top + (27.0 if layout.narrow else ROW / 2)
    if layout.narrow:
        name_room = 0.52 * drawing.width if row.aside else drawing.width - 16
        name = cut(row.name, name_room, SIZE + 1)
        drawing.words(8, top + 15, name, "start", SIZE + 1, halo=True)
        aside = cut(row.aside, 0.45 * drawing.width, SIZE)
        drawing.words(drawing.width - 8, top + 15, aside, "end", SIZE, aside_color, halo=True)
    else:
        name = cut(row.name, layout.left - 18, SIZE)
        drawing.words(layout.left - 12, y + 4, name, "end", SIZE, INK)
        if row.aside:
            aside = cut(row.aside, drawing.width - layout.right - 14, SIZE)
            drawing.words(layout.right + 14, y + 4, aside, "start", SIZE, aside_color)
    low, middle, high = map(layout.across, (row.low, row.value, row.high))
    line = REST if row.color == HIT else row.color
    drawing.line([(low, y), (high, y)], line, 1.8, note=row.note)
    if row.hollow:
        drawing.dot(middle, y, 4.6, "card", note=row.note)
    drawing.dot(middle, y, 4.6, row.color, ring=row.hollow, note=row.note)
