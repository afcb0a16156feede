"""Confidence and hits -> charts: does it keep what it says, and what answering fewer would save."""

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.judged import Judged
from bestiary.numbers import NO_BREAK, count, percent, percent_range
from bestiary.reporting.charts.axes import Axes
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.drawing import HIT, QUIET, REST
from bestiary.stats.calibration import risk_coverage
from bestiary.stats.intervals import share_interval

RELIABILITY_BINS = 10
MIN_BIN = 12  # images: fewer say nothing
HISTOGRAM_BINS = 25
HISTOGRAM_HEIGHT = 0.16  # of the plot
CURVE_POINTS = 300
OPERATING_RISKS = (0.01, 0.02, 0.05, 0.10)  # shares of errors to mark on the curve
MAX_MARKS = 2

HitFlags = NDArray[np.bool_]
Confidences = NDArray[np.float64]


def reliability_chart(results: Judged) -> Chart:
    """Draw how often answers of a confidence are right, with intervals and a histogram.

    Args:
        results: the results of a run.

    Returns:
        The chart.
    """
    bins = _bins(results.confidence, results.hits, results.groups)
    low = max(0.0, float(np.floor(10 * min(row[0] for row in bins)) / 10))
    low = min(low, 0.8)
    lowest = min(low, *(float(np.floor(10 * row[2]) / 10) for row in bins))
    ece = results.scores["calibrated"]["ece"]["value"]
    title = _reliability_title(bins, ece)
    axes = Axes(title, (low, 1.0), (lowest, 1.0), ("says: this sure", ""))
    _draw_histogram(axes, results.confidence)
    axes.line([low, 1], [low, 1], QUIET, dashed=True, width=1.2)
    for confidence, value, least, most, images in bins:
        note = (
            f"{count(images, 'image')}: says {percent(confidence)}, right {percent(value)} "
            f"({percent_range(least, most)})"
        )
        axes.dot(confidence, value, HIT, (least, most), note)
    axes.words(low, 1, "right: this often", (4, 12), color=QUIET)
    note = (
        f"Dots on the dashed line: it keeps what it says. Lines: 95{NO_BREAK}% intervals. Gray: "
        f"how many of {count(len(results.hits), 'image')} are how sure. Each fold is calibrated by "
        f"the others; the mean gap is {percent(ece)}."
    )
    head = ("confidence", "right", "right_low", "right_high", "images")
    return Chart("reliability", title, note, axes.drawing, head, bins)


def _bins(
    confidence: Confidences, hits: HitFlags, groups: NDArray[np.int64]
) -> list[tuple[float, float, float, float, int]]:
    """Bins of equal width, each joined to the next until it is full enough.

    Returns:
        For each: mean confidence, share right, its interval, images.
    """
    order = np.argsort(confidence, kind="stable")
    edges = np.linspace(confidence.min(), 1.0, RELIABILITY_BINS + 1)[1:-1]
    parts = np.split(order, np.searchsorted(confidence[order], edges))
    least = min(MIN_BIN, len(order))
    full: list[NDArray[np.int64]] = []
    waiting = order[:0]
    for part in parts:
        waiting = np.concatenate([waiting, part])
        if len(waiting) >= least:
            full.append(waiting)
            waiting = order[:0]
    if len(waiting):
        full[-1] = np.concatenate([full[-1], waiting])
    rows = []
    for images in full:
        share = share_interval(hits[images], groups[images])
        rows.append(
            (float(confidence[images].mean()), share.value, share.low, share.high, len(images))
        )
    return rows


def _reliability_title(bins: list[tuple[float, float, float, float, int]], ece: float) -> str:
    outside = [row for row in bins if not row[2] <= row[0] <= row[3]]
    if not outside:
        return "It is right as often as it says"
    too_sure = sum(row[0] > row[3] for row in outside)
    if too_sure == len(outside):
        return f"It is somewhat too sure of itself, by {percent(ece)} on average"
    if too_sure == 0:
        return f"It is right more often than it says, by {percent(ece)} on average"
    return f"What it says and what is right differ by {percent(ece)} on average"


def _draw_histogram(axes: Axes, confidence: Confidences) -> None:
    counts, edges = np.histogram(confidence, HISTOGRAM_BINS, (axes.x[0], 1.0))
    floor = axes.position(axes.x[0], axes.y[0])[1]
    most = HISTOGRAM_HEIGHT * (floor - axes.position(axes.x[0], axes.y[1])[1])
    for number, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if number:
            x, end = axes.position(left, 0)[0], axes.position(right, 0)[0]
            height = max(1.0, most * number / counts.max())
            note = f"{count(int(number), 'image')}: {percent_range(left, right, 0)} sure"
            axes.drawing.box(x + 0.5, floor - height, end - x - 1, height, REST, 0.55, note)


def operating_points(confidence: Confidences, hits: HitFlags) -> list[tuple[float, float, float]]:
    """Find where the curve of coverage passes usual shares of errors.

    Args:
        confidence: of the predicted class (images,).
        hits: whether each image is right (images,).

    Returns:
        Coverage, share of errors among the answered, and the confidence from which to answer, for
        each of `OPERATING_RISKS` that excludes some but not most images; rising.
    """
    coverage, risk = risk_coverage(confidence, hits)
    ordered = np.sort(confidence)[::-1]
    points = []
    for wanted in OPERATING_RISKS:
        inside = np.flatnonzero(risk <= wanted)
        if not len(inside) or coverage[inside[-1]] > 0.995 or coverage[inside[-1]] < 0.2:
            continue
        last = int(inside[-1])
        points.append((float(coverage[last]), float(risk[last]), float(ordered[last])))
    return points


def coverage_chart(results: Judged) -> Chart:
    """Draw the share of errors by the share of images that it answers, surest first.

    Args:
        results: the results of a run.

    Returns:
        The chart, with operating points marked.
    """
    coverage, risk = risk_coverage(results.confidence, results.hits)
    points = operating_points(results.confidence, results.hits)
    marked = points[-MAX_MARKS:]
    shown = np.unique(np.linspace(0, len(risk) - 1, CURVE_POINTS).astype(np.int64))
    # The first few answers say nothing: one mistake among three is 33 %.
    shown = shown[coverage[shown] >= min(0.05, 20 / len(risk))]
    highest = max(float(risk[shown].max()), 0.01) * 1.15
    title = _coverage_title(points, float(risk[-1]))
    axes = Axes(title, (0, 1), (0, highest), ("of the images answered by itself, surest first", ""))
    axes.line(coverage[shown].tolist(), risk[shown].tolist(), HIT)
    axes.words(0, highest, "of them wrong", (4, 12), color=QUIET)
    for share, wrong, confidence in marked:
        note = f"from a confidence of {percent(confidence)} on"
        axes.dot(share, wrong, HIT, note=note)
        text = f"{percent(share, 0)} answered, {percent(wrong, 0 if wrong >= 0.01 else 1)} wrong"
        axes.words(share, wrong, text, (-8, -7), "end", bold=True)
    note = (
        f"The rest goes to a person. Out of fold, {count(len(risk), 'image')}; at the right end "
        f"all are answered, {percent(float(risk[-1]))} of them wrong."
    )
    rows = [(float(coverage[n]), float(risk[n])) for n in shown]
    return Chart(
        "answer-fewer",
        title,
        note,
        axes.drawing,
        ("share_answered", "share_of_them_wrong"),
        rows,
    )


def _coverage_title(points: list[tuple[float, float, float]], all_wrong: float) -> str:
    if not all_wrong:
        return "No answer was wrong, so leaving some out saves nothing"
    if not points:
        return f"Answering all images, {percent(all_wrong)} are wrong"
    share, wrong, _ = points[-1]
    return (
        f"Answering the surest {percent(share, 0)}, {percent(wrong)} of them are wrong instead of "
        f"{percent(all_wrong)}"
    )
