"""Results -> drawings: training curves, reliability, risk and coverage, confusion. Computes no
score.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.evaluation.results import Results
from bestiary.reporting.drawing import COLORS, INK, QUIET, Drawing
from bestiary.stats.metrics import Reliability

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 460.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 14.0, 30.0, 40.0


class Axes:
    """A drawing with two axes; `x` and `y` are (least, most); whole: x is a count."""

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
        self.x, self.y = x, y
        for value in ticks(*y):
            at = self.place(x[0], value)[1]
            self.drawing.line([(LEFT, at), (WIDTH - RIGHT, at)], QUIET, 0.4)
            self.drawing.words(LEFT - 6, at + 4, f"{value:g}", "end")
        for value in ticks(*x, least=1.0 if whole else 0.0):
            self.drawing.words(
                self.place(value, 0)[0], HEIGHT - BOTTOM + 16, f"{value:g}", "middle"
            )
        self.drawing.line([(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM)], INK, 0.8)
        self.drawing.words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, names[0], "middle")
        self.drawing.words(13, (TOP + HEIGHT - BOTTOM) / 2, names[1], "middle", upright=True)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a value lies on the drawing."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - RIGHT - LEFT), HEIGHT - BOTTOM - up * (
            HEIGHT - BOTTOM - TOP
        )

    def line(
        self,
        x: Sequence[float],
        y: Sequence[float],
        color: str,
        note: str = "",
        dashed: bool = False,
    ) -> None:
        """A line through values."""
        points = [self.place(a, b) for a, b in zip(x, y, strict=True)]
        if len(points) == 1:  # one epoch is a dot
            self.drawing.box(points[0][0] - 3, points[0][1] - 3, 6, 6, color, note=note)
            return
        self.drawing.line(points, color, 1.8, dashed, note)

    def key(self, names: Sequence[str], colors: Sequence[str]) -> None:
        """What the colors mean, above the plot."""
        at = LEFT
        for name, color in zip(names, colors, strict=True):
            self.drawing.box(at, 8, 14, 4, color)
            self.drawing.words(at + 18, 14, name)
            at += 30 + 6.2 * len(name)


def ticks(low: float, high: float, about: int = 5, least: float = 0.0) -> list[float]:
    """Round numbers from `low` to `high`, about so many, at least `least` apart."""
    span = high - low
    step = 10 ** np.floor(np.log10(span / about))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= about)
    step = max(step, least)
    first = np.ceil(low / step - 1e-9)
    return [
        round(float(n * step), 10) + 0.0 for n in np.arange(first, np.floor(high / step + 1e-9) + 1)
    ]


def curves(histories: dict[int, pl.DataFrame]) -> list[Drawing]:
    """Training loss of all folds, and their accuracy where it was measured after more than one
    epoch.
    """
    drawn = []
    epochs = max(history.height for history in histories.values())
    for column, name in (
        ("train_loss", "training loss"),
        ("val_accuracy", "accuracy on the part held out"),
    ):
        rows = {
            fold: history.drop_nulls(column).select("epoch", column)
            for fold, history in histories.items()
        }
        values = np.concatenate([table[column].to_numpy() for table in rows.values()])
        # Heads that were fitted have no epoch; and the last epoch's accuracy alone makes no curve.
        if not len(values) or (column == "val_accuracy" and len(values) <= len(rows)):
            continue
        low, high = float(values.min()), float(values.max())
        margin = max(0.05 * (high - low), 1e-3)
        axes = Axes(
            f"{name.capitalize()}, by epoch and fold",
            (min(1, epochs - 1), epochs),
            (low - margin, high + margin),
            ("epoch", name),
            whole=True,
        )
        for fold, table in rows.items():
            color = COLORS[fold % len(COLORS)]
            axes.line(table["epoch"].to_list(), table[column].to_list(), color, f"fold {fold}")
        shown = list(rows)[:6]
        axes.key([f"fold {fold}" for fold in shown], [COLORS[fold % len(COLORS)] for fold in shown])
        drawn.append(axes.drawing)
    return drawn


def reliability_figure(before: Reliability, after: Reliability) -> Drawing:
    """Accuracy by confidence, before and after calibration; the diagonal is what confidence
    promises.
    """
    title = f"Reliability: expected calibration error {before.ece:.3f} before, {after.ece:.3f} after calibration"
    axes = Axes(title, (0, 1), (0, 1), ("confidence", "accuracy"))
    axes.line([0, 1], [0, 1], QUIET, dashed=True)
    for diagram, color in ((before, COLORS[1]), (after, COLORS[0])):
        axes.line(diagram.confidence.tolist(), diagram.accuracy.tolist(), color)
        for confidence, accuracy, count in zip(
            diagram.confidence, diagram.accuracy, diagram.images, strict=True
        ):
            x, y = axes.place(confidence, accuracy)
            note = f"{count} images: confidence {confidence:.3f}, accuracy {accuracy:.3f}"
            axes.drawing.box(x - 3, y - 3, 6, 6, color, note=note)
    axes.key(
        [f"before (ECE {before.ece:.3f})", f"after (ECE {after.ece:.3f})"], [COLORS[1], COLORS[0]]
    )
    return axes.drawing


def risk_figure(coverage: Floats, risk: Floats) -> Drawing:
    """Share of errors among the answers by share of the images answered, surest first."""
    chosen = np.unique(np.linspace(0, len(risk) - 1, 300).astype(np.int64))
    most = max(float(risk[chosen].max()), 0.01) * 1.1
    axes = Axes(
        "Share of errors by share of the images answered",
        (0, 1),
        (0, most),
        ("share answered", "share of errors"),
    )
    axes.line(coverage[chosen].tolist(), risk[chosen].tolist(), COLORS[0])
    return axes.drawing


def confusion_figure(counts: NDArray[np.int64], names: Sequence[str]) -> Drawing:
    """The confusion matrix, rows the labels, colored by share of the row; for text, where
    nothing can be hovered.
    """
    side, room = 520.0, 90.0
    cell = (side - room) / len(names)
    drawing = Drawing(side, side, "Confusion matrix: rows are labels, columns predictions")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = COLORS[0] if row == column else COLORS[1]
        opacity = 0.15 + 0.85 * float(shares[row, column]) ** 0.5
        note = f"{names[row]} taken for {names[column]}: {counts[row, column]}"
        drawing.box(room + column * cell, room + row * cell, cell, cell, color, opacity, note)
    size = min(10.0, cell * 0.95)
    if size >= 3.5:
        for number, name in enumerate(names):
            short = (
                name
                if len(name) * size * 0.55 < room
                else name[: int(room / size / 0.55) - 1] + "."
            )
            drawing.words(room - 3, room + (number + 0.75) * cell, short, "end", size)
            drawing.words(
                room + (number + 0.75) * cell, room - 3, short, "start", size, upright=True
            )
    drawing.line([(room, room), (side, room), (side, side), (room, side), (room, room)], QUIET, 0.5)
    return drawing


def accuracy_figure(results: Results) -> Drawing:
    """Accuracies with their intervals, one above the other: out of fold, the ensemble's
    estimate, each fold.
    """
    scores = results.scores
    rows = [
        ("out of fold", scores["accuracy"], COLORS[0]),
        ("ensemble, estimated", scores["ensemble"], COLORS[2]),
    ]
    rows += [(f"fold {fold['fold']}", fold, QUIET) for fold in scores["folds"]]
    low = min(row["low"] for _, row, _ in rows)
    high = max(row["high"] for _, row, _ in rows)
    room, step, top = 150.0, 22.0, 8.0
    drawing = Drawing(WIDTH, top + step * len(rows) + 24, "Accuracies with their 95 % intervals")

    def across(value: float) -> float:
        return float(room + (value - low) / max(high - low, 1e-9) * (WIDTH - room - 24))

    for value in ticks(low, high):
        drawing.line([(across(value), top), (across(value), top + step * len(rows))], QUIET, 0.4)
        drawing.words(across(value), top + step * len(rows) + 16, f"{100 * value:g} %", "middle")
    for number, (name, row, color) in enumerate(rows):
        y = top + step * (number + 0.5)
        note = f"{name}: {row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        drawing.words(room - 10, y + 4, name, "end", 12)
        drawing.line([(across(row["low"]), y), (across(row["high"]), y)], color, 3, note=note)
        drawing.box(across(row["value"]) - 4, y - 4, 8, 8, color, note=note)
    return drawing
