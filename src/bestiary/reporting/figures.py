"""Results -> drawings: training curves, reliability, risk-coverage, confusion matrix, accuracies.

Computes no score.
"""

from collections.abc import Sequence
from itertools import accumulate
from unicodedata import east_asian_width

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.evaluation.results import Results
from bestiary.printable import printable_name
from bestiary.reporting.drawing import COLORS, INK, QUIET, Drawing
from bestiary.stats.metrics import Reliability

Floats = NDArray[np.float64]

# Size and margins of a plot, in units of the drawing.
WIDTH = 460.0
HEIGHT = 300.0
LEFT = 62.0
RIGHT = 14.0
TOP = 30.0
BOTTOM = 40.0

MAX_LEGEND_FOLDS = 6
RISK_POINTS = 300  # points of the risk-coverage curve

# The confusion matrix.
MATRIX_SIDE = 520.0
MATRIX_MARGIN = 90.0  # for the class names
LETTER_WIDTH = 0.55  # of the font size, on average

# The rows of the accuracy figure.
ACCURACY_MARGIN = 150.0  # for the names
ACCURACY_ROW = 22.0
ACCURACY_TOP = 8.0

CURVES = (("train_loss", "training loss"), ("val_accuracy", "accuracy on the held-out part"))


class Axes:
    """A drawing with two axes.

    Args:
        title: what the drawing shows.
        x: least and most value of the horizontal axis.
        y: least and most value of the vertical axis.
        names: labels of the axes, x first.
        whole: whether x is a count, so that its ticks are whole numbers.
    """

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        names: tuple[str, str],
        *,
        whole: bool = False,
    ) -> None:
        self.drawing = Drawing(WIDTH, HEIGHT, title)
        self.x = x
        self.y = y
        self._draw_y_ticks()
        self._draw_x_axis(names[0], least_step=1.0 if whole else 0.0)
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.drawing.words(13, middle, names[1], "middle", upright=True)

    def _draw_y_ticks(self) -> None:
        for value in ticks(*self.y):
            height = self.position(self.x[0], value)[1]
            self.drawing.line([(LEFT, height), (WIDTH - RIGHT, height)], QUIET, 0.4)
            self.drawing.words(LEFT - 6, height + 4, f"{value:g}", "end")

    def _draw_x_axis(self, name: str, least_step: float) -> None:
        floor = HEIGHT - BOTTOM
        for value in ticks(*self.x, least=least_step):
            across = self.position(value, 0)[0]
            self.drawing.words(across, floor + 16, f"{value:g}", "middle")
        self.drawing.line([(LEFT, floor), (WIDTH - RIGHT, floor)], INK, 0.8)
        self.drawing.words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, name, "middle")

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a value on the drawing; y is clipped to the axis."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        left = LEFT + across * (WIDTH - RIGHT - LEFT)
        top = HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)
        return left, top

    def line(
        self,
        x: Sequence[float],
        y: Sequence[float],
        color: str,
        note: str = "",
        dashed: bool = False,
    ) -> None:
        """Draw a line through values; a single value is a dot.

        Args:
            x: horizontal values.
            y: vertical values.
            color: color of the line.
            note: tooltip.
            dashed: whether the line is dashed.
        """
        points = [self.position(a, b) for a, b in zip(x, y, strict=True)]
        if len(points) == 1:
            self.drawing.box(points[0][0] - 3, points[0][1] - 3, 6, 6, color, note=note)
            return
        self.drawing.line(points, color, 1.8, dashed, note)

    def legend(self, names: Sequence[str], colors: Sequence[str]) -> None:
        """Explain the colors above the plot."""
        left = LEFT
        for name, color in zip(names, colors, strict=True):
            self.drawing.box(left, 8, 14, 4, color)
            self.drawing.words(left + 18, 14, name)
            left += 30 + 6.2 * len(name)


def ticks(low: float, high: float, about: int = 5, least: float = 0.0) -> list[float]:
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


def curves(histories: dict[int, pl.DataFrame]) -> list[Drawing]:
    """Draw the training loss and the held-out accuracy by epoch, one line a fold.

    Args:
        histories: fold -> history.csv.

    Returns:
        Up to two drawings. Fitted heads have no curve, and an accuracy that was measured after
        the last epoch only makes no curve either.
    """
    drawings = []
    epochs = max(history.height for history in histories.values())
    for column, name in CURVES:
        measured = {
            fold: history.drop_nulls(column).select("epoch", column)
            for fold, history in histories.items()
        }
        count = sum(table.height for table in measured.values())
        only_last = column == "val_accuracy" and count <= len(measured)
        if count and not only_last:
            drawings.append(_curve(measured, column, name, epochs))
    return drawings


def _curve(measured: dict[int, pl.DataFrame], column: str, name: str, epochs: int) -> Drawing:
    """One line a fold; `measured` has epoch and `column` of each."""
    values = np.concatenate([table[column].to_numpy() for table in measured.values()])
    low = float(values.min())
    high = float(values.max())
    margin = max(0.05 * (high - low), 1e-3)
    axes = Axes(
        f"{name.capitalize()}, by epoch and fold",
        (min(1, epochs - 1), epochs),
        (low - margin, high + margin),
        ("epoch", name),
        whole=True,
    )
    colors = {fold: COLORS[fold % len(COLORS)] for fold in measured}
    for fold, table in measured.items():
        note = f"fold {fold}"
        axes.line(table["epoch"].to_list(), table[column].to_list(), colors[fold], note)
    _fold_legend(axes, dict(list(colors.items())[:MAX_LEGEND_FOLDS]))
    return axes.drawing


def _fold_legend(axes: Axes, colors: dict[int, str]) -> None:
    axes.legend([f"fold {fold}" for fold in colors], list(colors.values()))


def reliability_figure(before: Reliability, after: Reliability) -> Drawing:
    """Draw accuracy by confidence; on the diagonal both are equal.

    Args:
        before: the reliability before calibration.
        after: the reliability after calibration.

    Returns:
        The drawing.
    """
    title = (
        f"Reliability: expected calibration error {before.ece:.3f} before, {after.ece:.3f} after "
        f"calibration"
    )
    axes = Axes(title, (0, 1), (0, 1), ("confidence", "accuracy"))
    axes.line([0, 1], [0, 1], QUIET, dashed=True)
    _draw_bins(axes, before, COLORS[1])
    _draw_bins(axes, after, COLORS[0])
    axes.legend(
        [f"before (ECE {before.ece:.3f})", f"after (ECE {after.ece:.3f})"],
        [COLORS[1], COLORS[0]],
    )
    return axes.drawing


def _draw_bins(axes: Axes, diagram: Reliability, color: str) -> None:
    """A line through the bins, and a dot with a tooltip on each."""
    axes.line(diagram.confidence.tolist(), diagram.accuracy.tolist(), color)
    bins = zip(diagram.confidence, diagram.accuracy, diagram.images, strict=True)
    for confidence, accuracy, count in bins:
        x, y = axes.position(confidence, accuracy)
        note = f"{count} images: confidence {confidence:.3f}, accuracy {accuracy:.3f}"
        axes.drawing.box(x - 3, y - 3, 6, 6, color, note=note)


def risk_figure(coverage: Floats, risk: Floats) -> Drawing:
    """Draw the risk-coverage curve.

    Args:
        coverage: share of the images accepted, most confident first (images,).
        risk: share of errors among them (images,).

    Returns:
        The drawing.
    """
    chosen = np.unique(np.linspace(0, len(risk) - 1, RISK_POINTS).astype(np.int64))
    highest = max(float(risk[chosen].max()), 0.01) * 1.1
    axes = Axes(
        "Share of errors by share of the images accepted",
        (0, 1),
        (0, highest),
        ("share accepted", "share of errors"),
    )
    axes.line(coverage[chosen].tolist(), risk[chosen].tolist(), COLORS[0])
    return axes.drawing


def confusion_figure(counts: NDArray[np.int64], names: Sequence[str]) -> Drawing:
    """Draw the confusion matrix for a text, where nothing can be hovered.

    Args:
        counts: confusion matrix (classes, classes), rows are labels.
        names: class names in the order of the rows.

    Returns:
        The drawing; the opacity of a cell shows its share of the row.
    """
    drawing = Drawing(
        MATRIX_SIDE, MATRIX_SIDE, "Confusion matrix: rows are labels, columns predictions"
    )
    cell = (MATRIX_SIDE - MATRIX_MARGIN) / len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        drawing.box(
            MATRIX_MARGIN + column * cell,
            MATRIX_MARGIN + row * cell,
            cell,
            cell,
            COLORS[0] if row == column else COLORS[1],
            opacity=0.15 + 0.85 * float(shares[row, column]) ** 0.5,
            note=f"{names[row]} taken for {names[column]}: {counts[row, column]}",
        )
    _draw_matrix_names(drawing, names, cell)
    low = MATRIX_MARGIN
    high = MATRIX_SIDE
    drawing.line([(low, low), (high, low), (high, high), (low, high), (low, low)], QUIET, 0.5)
    return drawing


def _draw_matrix_names(drawing: Drawing, names: Sequence[str], cell: float) -> None:
    """Class names along both sides; none where the cells are too small to read them."""
    size = min(10.0, cell * 0.95)
    if size < 3.5:
        return
    for index, name in enumerate(names):
        name = _cut(printable_name(name), int(MATRIX_MARGIN / size / LETTER_WIDTH))
        offset = MATRIX_MARGIN + (index + 0.75) * cell
        drawing.words(MATRIX_MARGIN - 3, offset, name, "end", size)
        drawing.words(offset, MATRIX_MARGIN - 3, name, "start", size, upright=True)


def _cut(name: str, most: int) -> str:
    """Cut a name to the width of `most` letters; Chinese ones are twice as wide."""
    widths = [2 if east_asian_width(letter) in "WF" else 1 for letter in name]
    if sum(widths) <= most:
        return name
    letters = sum(width <= most - 1 for width in accumulate(widths))
    return name[:letters] + "."


def accuracy_figure(results: Results) -> Drawing:
    """Draw the accuracies with intervals: out of fold, the ensemble's estimate, each fold.

    Args:
        results: the results of a run.

    Returns:
        The drawing.
    """
    scores = results.scores
    rows = [
        ("out of fold", scores["accuracy"], COLORS[0]),
        ("ensemble, estimated", scores["ensemble"], COLORS[2]),
    ]
    rows += [(f"fold {fold['fold']}", fold, QUIET) for fold in scores["folds"]]
    low = min(score["low"] for _, score, _ in rows)
    high = max(score["high"] for _, score, _ in rows)
    floor = ACCURACY_TOP + ACCURACY_ROW * len(rows)
    drawing = Drawing(WIDTH, floor + 24, "Accuracies with their 95 % intervals")
    for value in ticks(low, high):
        across = _accuracy_position(value, low, high)
        drawing.line([(across, ACCURACY_TOP), (across, floor)], QUIET, 0.4)
        drawing.words(across, floor + 16, f"{100 * value:g} %", "middle")
    for index, (name, score, color) in enumerate(rows):
        y = ACCURACY_TOP + ACCURACY_ROW * (index + 0.5)
        left, middle, right = (
            _accuracy_position(score[key], low, high) for key in ("low", "value", "high")
        )
        note = f"{name}: {score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"
        drawing.words(ACCURACY_MARGIN - 10, y + 4, name, "end", 12)
        drawing.line([(left, y), (right, y)], color, 3, note=note)
        drawing.box(middle - 4, y - 4, 8, 8, color, note=note)
    return drawing


def _accuracy_position(value: float, low: float, high: float) -> float:
    share = (value - low) / max(high - low, 1e-9)
    return float(ACCURACY_MARGIN + share * (WIDTH - ACCURACY_MARGIN - 24))
