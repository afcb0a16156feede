"""Histories and learning curves -> charts: accuracy by epoch, and by number of images."""

from collections.abc import Callable

import numpy as np
import polars as pl

from bestiary.numbers import NO_BREAK, count, percent, points, points_range
from bestiary.reporting.charts.axes import Axes, round_ticks
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.drawing import HIT, MISS, QUIET, REST
from bestiary.stats.learning_curve import MAX_FACTOR, LearningCurve

MIN_EPOCHS = 4  # fewer make no curve
LAW_POINTS = 30


def training_charts(histories: dict[int, pl.DataFrame], keeps_best: bool) -> list[Chart]:
    """Draw held-out accuracy, then training loss, by epoch: folds thin, their mean bold.

    Args:
        histories: fold -> history.csv.
        keeps_best: whether each member is from its best epoch.

    Returns:
        Up to two charts; none under `MIN_EPOCHS` epochs.
    """
    charts = []
    for column, name, form in (
        ("val_accuracy", "held-out-accuracy", percent),
        ("train_loss", "training-loss", _plain),
    ):
        measured = {
            fold: history.drop_nulls(column).select("epoch", column)
            for fold, history in histories.items()
        }
        if min((table.height for table in measured.values()), default=0) >= MIN_EPOCHS:
            charts.append(_curve(measured, column, name, form, keeps_best))
    return charts


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _curve(
    measured: dict[int, pl.DataFrame],
    column: str,
    name: str,
    form: Callable[[float], str],
    keeps_best: bool,
) -> Chart:
    """One thin line a fold, the mean in bold, the best epoch marked."""
    mean = (
        pl.concat(list(measured.values()))
        .group_by("epoch")
        .agg(pl.col(column).mean())
        .sort("epoch")
    )
    epochs = mean["epoch"].to_list()
    values = mean[column].to_numpy()
    everything = np.concatenate([table[column].to_numpy() for table in measured.values()])
    low, high = float(everything.min()), float(everything.max())
    margin = max(0.08 * (high - low), 1e-3)
    is_accuracy = column == "val_accuracy"
    best = int(values.argmax() if is_accuracy else values.argmin())
    title = (
        f"Held-out accuracy is highest after epoch {epochs[best]} of {epochs[-1]}"
        if is_accuracy
        else f"Training loss falls to {_plain(float(values[-1]))}"
    )
    axes = Axes(
        title,
        (epochs[0], epochs[-1]),
        (low - margin, min(high + margin, 1.0) if is_accuracy else high + margin),
        ("epoch", ""),
        ticks=round_ticks(epochs[0], epochs[-1], least=1),
        formats=(lambda value: f"{value:g}", _accuracy_tick if is_accuracy else _plain),
    )
    for fold, table in measured.items():
        note = f"fold {fold}"
        axes.line(table["epoch"].to_list(), table[column].to_list(), REST, note, width=1)
    axes.line(epochs, values.tolist(), HIT, "mean of the folds", width=2.6)
    if is_accuracy:
        axes.dot(epochs[best], float(values[best]), MISS, note=f"best epoch: {epochs[best]}")
        label = f"epoch {epochs[best]}: {form(float(values[best]))}"
        anchor = "end" if best > len(epochs) / 2 else "start"
        axes.words(epochs[best], float(values[best]), label, (0, 18), anchor, bold=True)
    kept = "Each fold keeps its own best epoch." if keeps_best else "The last epoch is used."
    note = f"Thin: {count(len(measured), 'fold')}. Bold: their mean. {kept if is_accuracy else ''}"
    rows = [
        (fold, *row)
        for fold, table in measured.items()
        for row in table.select("epoch", pl.col(column).cast(pl.Float64)).iter_rows()
    ]
    return Chart(name, title, note.strip(), axes.drawing, ("fold", "epoch", column), rows)


def _accuracy_tick(value: float) -> str:
    return f"{100 * value:g}{NO_BREAK}%"


def learning_chart(curve: LearningCurve) -> Chart:
    """Draw accuracy by number of images, and the forecast for twice as many.

    Args:
        curve: of a run.

    Returns:
        The chart.
    """
    now = curve.accuracies[-1].value
    sizes = curve.images_per_class
    expected = curve.forecast()
    forecast, low_end, high_end = expected.value, expected.low, expected.high
    lowest = min(*(accuracy.low for accuracy in curve.accuracies), low_end)
    span = (max(0.0, np.floor(20 * lowest) / 20), min(1.0, np.ceil(20 * max(high_end, now)) / 20))
    title = learning_title(curve)
    axes = Axes(
        title,
        (float(sizes[0]) * 0.9, float(sizes[-1]) * MAX_FACTOR * 1.1),
        (float(span[0]), float(span[1])),
        ("images of a class to train on (log scale)", ""),
        ticks=[*sizes.tolist(), float(sizes[-1]) * MAX_FACTOR],
        formats=(_size, lambda value: percent(value, 0)),
        log_x=True,
    )
    factors = np.geomspace(curve.shares[0], MAX_FACTOR, LAW_POINTS)
    axes.line((factors * sizes[-1]).tolist(), curve.law(factors).tolist(), QUIET, dashed=True)
    for size, accuracy in zip(sizes.tolist(), curve.accuracies, strict=True):
        value = percent(accuracy.value)
        note = f"{_size(size)} images a class: {value}"
        axes.dot(size, accuracy.value, HIT, (accuracy.low, accuracy.high), note)
        axes.words(size, accuracy.value, value, (8, 16))
    twice = float(sizes[-1]) * MAX_FACTOR
    axes.dot(twice, forecast, HIT, (low_end, high_end), "forecast", ring=True)
    axes.words(twice, forecast, f"about {percent(forecast)}", (-9, -9), "end", bold=True)
    note = (
        f"The frozen network with a new last layer, on parts of the images: means of "
        f"{len(curve.by_draw)} draws with 95{NO_BREAK}% intervals, each on "
        f"a fold held out. Dashed: a power law; beyond twice as many images it is not believed."
    )
    rows: list[tuple[object, ...]] = [
        (float(size), accuracy.value, accuracy.low, accuracy.high, "measured")
        for size, accuracy in zip(sizes.tolist(), curve.accuracies, strict=True)
    ]
    rows.append((twice, forecast, low_end, high_end, "forecast"))
    head = ("images_per_class", "accuracy", "low", "high", "kind")
    return Chart("more-images", title, note, axes.drawing, head, rows)


def learning_title(curve: LearningCurve) -> str:
    """Say in a sentence what more images would give."""
    gain = curve.gain()
    interval = f"{points_range(gain.low, gain.high)}"
    if gain.low <= 0.0005:
        return f"Twice as many images may not help: {points(gain.value)} points ({interval})"
    return f"Twice as many images would give about {points(gain.value)} points ({interval})"


def _size(value: float) -> str:
    return f"{value:.0f}"
