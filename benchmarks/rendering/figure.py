"""Results of an area -> one figure: how far each is from its bar, in light and in dark.

Drawn by the charts of bestiary's own reports. A result that must be all or nothing, or within two
bounds, has no such distance, and is in the table alone.
"""

import math
import re
from collections.abc import Sequence

from bestiary.reporting.charts.forest import ForestRow, Reference, forest
from bestiary.reporting.drawing import HIT, MISS, QUIET, Drawing
from harness.results import Line
from harness.scripts import ROOT
from rendering.words import bar_words, by_merit, number

COLORS = ROOT / "src" / "bestiary" / "pages" / "base.css"
REACH = 1.5  # powers of two to both sides of the bar


def distance(line: Line, value: float) -> float | None:
    """How often a value reaches its bar, in powers of two; None where that means nothing."""
    bar = line.parsed_bar()
    if bar is None or isinstance(bar.value, tuple) or bar.value <= 0 or value < 0:
        return None
    if bar.op == "least":
        return math.log2(max(value, 1e-9) / bar.value)
    return math.log2(bar.value / max(value, 1e-9))


def bar_drawing(lines: Sequence[Line], title: str) -> Drawing | None:
    """Draw each claim by the worst case that has a distance to its bar, the worst on top.

    Returns:
        The drawing; None where no result has such a distance.
    """
    rows: dict[str, ForestRow] = {}
    for line in lines:
        row = _row(line)
        if row is not None and (line.claim not in rows or row.value < rows[line.claim].value):
            rows[line.claim] = row
    if not rows:
        return None
    ordered = sorted(rows.values(), key=lambda row: row.value)
    bars = [Reference(0.0, "the bar")]
    return forest(title, ordered, (-REACH, REACH), bars, form=_times, aside_color=QUIET)


def _row(line: Line) -> ForestRow | None:
    bar = line.parsed_bar()
    worst, _ = by_merit(line)
    middle = distance(line, worst.median)
    if bar is None or middle is None or (bar.value == 1 and bar.op == "least"):
        return None
    ends = [distance(line, end) for end in (worst.low, worst.high) if end is not None]
    around = [middle, *(end for end in ends if end is not None)]
    case = f", {line.case}" if line.case else ""
    return ForestRow(
        name=line.claim.replace("-", " "),
        value=middle,
        low=min(around),
        high=max(around),
        note=f"{line.statement}{case}: {number(worst.median)} {line.unit}",
        aside=f"{number(worst.median)}, bar {bar_words(bar)}",
        color=HIT if line.reached() else MISS,
    )


def svg_files(drawing: Drawing) -> tuple[str, str]:
    """Render a drawing for light and for dark pages, in the colors of bestiary's reports."""
    themed = drawing.svg(themed=True)
    found = re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", COLORS.read_text())
    light = {name: first for name, first, _ in found}
    dark = {name: second for name, _, second in found}
    return _inked(themed, light), _inked(themed, dark)


def _inked(svg: str, colors: dict[str, str]) -> str:
    return re.sub(r"var\(--([\w-]+)\)", lambda match: colors[match.group(1)], svg) + "\n"


def _times(power: float) -> str:
    return f"{2**power:.2g} x"
