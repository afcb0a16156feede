"""Scores -> charts: accuracies against their baselines, and the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.judged import Judged
from bestiary.evaluation.results import Results
from bestiary.numbers import NO_BREAK, count, percent, percent_range, plain_name
from bestiary.reporting.charts.chart import Chart, cut
from bestiary.reporting.charts.forest import ForestRow, forest
from bestiary.reporting.drawing import EDGE, HIT, MISS, QUIET, REST, Drawing

MAX_FOLDS = 10  # with a row of their own
MATRIX_SIDE = 560.0
MATRIX_MARGIN = 120.0  # for the class names
LEGEND = 26.0
MAX_MATRIX_NAMES = 60


def commonest_share(results: Results) -> float:
    """The accuracy of always answering the commonest class."""
    return float(np.bincount(results.labels).max() / len(results.labels))


def accuracy_chart(results: Results) -> Chart:
    """Draw the accuracies with intervals: single members, all together, each fold.

    Args:
        results: the results of a run.

    Returns:
        The chart.
    """
    scores = results.scores
    rows = [_row("one member, new images", scores["accuracy"])]
    if len(scores["folds"]) > 1:
        rows.append(_row(f"all {len(scores['folds'])} together", scores["ensemble"], hollow=True))
    rows.append(_row("mean over classes", scores["scores"]["balanced_accuracy"]))
    if len(scores["folds"]) > 1:
        rows += [
            _row(f"fold {fold['fold']}", fold, color=REST) for fold in scores["folds"][:MAX_FOLDS]
        ]
    accuracy = scores["accuracy"]
    title = (
        f"Right on {percent(accuracy['value'])} of images it had not seen "
        f"({percent_range(accuracy['low'], accuracy['high'])})"
    )
    low = min(row.low for row in rows)
    high = max(row.high for row in rows)
    room = max(0.02, 0.08 * (high - low))
    span = (max(0.0, low - room), min(1.0, high + room))
    note = (
        f"Lines: 95{NO_BREAK}% intervals, {count(accuracy['n'], 'image')} in "
        f"{count(accuracy['groups'], 'group')}; a group counts once. Hollow: estimated. Always "
        f"answering the commonest class would be right on {percent(commonest_share(results))}."
    )
    head = ("score", "value", "low", "high")
    csv_rows = [(row.name, row.value, row.low, row.high) for row in rows]
    drawings = [
        forest(title, rows, span, narrow=narrow, aside_color=QUIET) for narrow in (False, True)
    ]
    return Chart("accuracy", title, note, drawings[0], head, csv_rows, drawings[1])


def _row(name: str, score: dict[str, float], color: str = HIT, hollow: bool = False) -> ForestRow:
    value, low, high = (float(score[key]) for key in ("value", "low", "high"))
    text = f"{percent(value)} ({percent_range(low, high)})"
    return ForestRow(name, value, low, high, f"{name}: {text}", text, color, hollow)


def confusion_chart(results: Judged, order: Sequence[int]) -> Chart:
    """Draw the confusion matrix for a text, where nothing can be hovered.

    Args:
        results: the results of a run.
        order: class numbers in the order to show them.

    Returns:
        The chart.
    """
    counts = results.confusion[np.ix_(order, order)]
    names = [plain_name(results.classes[index]) for index in order]
    wrong = int(counts.sum() - np.trace(counts))
    title = f"{count(wrong, 'mistake')} among {count(int(counts.sum()), 'image')}"
    rows = [
        (names[row], names[column], int(counts[row, column]))
        for row, column in zip(*np.nonzero(counts), strict=True)
    ]
    note = (
        "Rows are labels, columns are answers; classes that are taken for each other are "
        "neighbors. Blue is right, orange wrong; the darker, the larger the share of its row."
    )
    drawing = confusion_drawing(counts, names, title)
    return Chart("confusion", title, note, drawing, ("label", "answer", "images"), rows)


def confusion_drawing(counts: NDArray[np.int64], names: Sequence[str], title: str) -> Drawing:
    """Draw a confusion matrix, with its numbers where they fit and a legend.

    Args:
        counts: confusion matrix (classes, classes), rows are labels.
        names: class names in the order of the rows.
        title: what it shows.

    Returns:
        The drawing.
    """
    drawing = Drawing(MATRIX_SIDE, MATRIX_SIDE + LEGEND, title)
    cell = (MATRIX_SIDE - MATRIX_MARGIN) / len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        left, top = MATRIX_MARGIN + column * cell, MATRIX_MARGIN + row * cell
        is_right = row == column
        share = float(shares[row, column])
        opacity = 0.12 + 0.55 * share if is_right else 0.25 + 0.6 * share**0.5
        drawing.box(
            left,
            top,
            cell,
            cell,
            HIT if is_right else MISS,
            opacity,
            f"{names[row]} taken for {names[column]}: {counts[row, column]}",
        )
        if cell > 15:
            text = f"{counts[row, column]}"
            size = min(11.0, 0.9 * cell / len(text) + 3)
            drawing.words(left + cell / 2, top + cell / 2 + 4, text, "middle", size)
    _draw_matrix_names(drawing, names, cell)
    _draw_legend(drawing)
    low, high = MATRIX_MARGIN, MATRIX_SIDE
    drawing.line([(low, low), (high, low), (high, high), (low, high), (low, low)], EDGE, 0.8)
    return drawing


def _draw_matrix_names(drawing: Drawing, names: Sequence[str], cell: float) -> None:
    """Class names along both sides; none where the cells are too small to read them."""
    size = min(11.0, cell * 0.95)
    if len(names) > MAX_MATRIX_NAMES:
        return
    for index, name in enumerate(names):
        shown = cut(name, MATRIX_MARGIN - 6, size)
        offset = MATRIX_MARGIN + (index + 0.5) * cell + size * 0.35
        drawing.words(MATRIX_MARGIN - 4, offset, shown, "end", size)
        drawing.words(offset, MATRIX_MARGIN - 4, shown, "start", size, upright=True)


def _draw_legend(drawing: Drawing) -> None:
    left, top = MATRIX_MARGIN, MATRIX_SIDE + 10
    for color, word in ((HIT, "right"), (MISS, "wrong")):
        for step, opacity in enumerate((0.25, 0.5, 0.85)):
            drawing.box(left + 12 * step, top, 12, 10, color, opacity)
        drawing.words(left + 42, top + 9, word, "start", 11, QUIET)
        left += 100
    drawing.words(left, top + 9, "darker: larger share of the row", "start", 11, QUIET)
