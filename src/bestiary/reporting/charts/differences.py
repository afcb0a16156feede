"""Differences of runs -> a forest plot around zero, the best on top."""

from collections.abc import Sequence
from functools import partial

from bestiary.numbers import NO_BREAK, count, points, points_range
from bestiary.printable import printable_name
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.forest import ForestRow, Reference, forest
from bestiary.reporting.drawing import HIT, MISS, QUIET, REST
from bestiary.stats.paired import Difference

LEAST_SPAN = 0.005  # half of the axis: smaller differences do not fill it


def difference_chart(
    name: str, reference: str, named: Sequence[tuple[str, Difference]], images: int
) -> Chart:
    """Draw differences from a reference, sorted, with their intervals.

    Args:
        name: of the chart's files.
        reference: what the others are compared with.
        named: name and difference of each other run or variant, at least one.
        images: that all have scored.

    Returns:
        The chart. Blue is better than the reference, orange worse, gray within chance.
    """
    ordered = sorted(named, key=lambda pair: -pair[1].value)
    rows = [_row(one, difference) for one, difference in ordered]
    span = max(LEAST_SPAN, *(max(abs(row.low), abs(row.high)) for row in rows)) * 1.08
    title = _title(reference, ordered)
    references = [Reference(0.0, printable_name(reference), QUIET)]
    drawings = [
        forest(
            title,
            rows,
            (-span, span),
            references,
            form=partial(points, decimals=0 if span > 0.02 else 1),
            narrow=narrow,
            aside_color=QUIET,
        )
        for narrow in (False, True)
    ]
    note = (
        f"Percentage points more (right) or fewer (left) than {printable_name(reference)}, "
        f"with 95{NO_BREAK}% intervals, paired over {count(images, 'image')}. Gray: within chance."
    )
    csv_rows = [(one, d.value, d.low, d.high, d.p) for one, d in ordered]
    head = ("name", "difference", "low", "high", "p")
    return Chart(name, title, note, drawings[0], head, csv_rows, drawings[1])


def _row(name: str, difference: Difference) -> ForestRow:
    interval = points_range(difference.low, difference.high)
    text = f"{points(difference.value)} ({interval})"
    color = REST
    if difference.low > 0 or difference.high < 0:
        color = HIT if difference.value > 0 else MISS
    shown = printable_name(name)
    return ForestRow(
        shown,
        difference.value,
        difference.low,
        difference.high,
        f"{shown}: {text} points",
        text,
        color,
    )


def _title(reference: str, ordered: Sequence[tuple[str, Difference]]) -> str:
    better = [name for name, difference in ordered if difference.low > 0]
    worse = [name for name, difference in ordered if difference.high < 0]
    first = printable_name(reference)
    if not better and not worse:
        return f"No difference from {first} is larger than chance"
    if better:
        value = points(ordered[0][1].value).lstrip("+")
        return f"{printable_name(better[0])} is better than {first} by {value} points"
    value = points(abs(ordered[-1][1].value)).lstrip("+")
    return f"Nothing is better than {first}; {printable_name(worse[-1])} is worse by {value} points"
