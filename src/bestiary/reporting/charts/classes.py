"""Classes -> charts: the weakest ones as a forest plot, and recall by number of images."""

from typing import Any

import numpy as np

from bestiary.evaluation.judged import Judged
from bestiary.numbers import NO_BREAK, count, percent, percent_range, plain_name
from bestiary.reporting.charts.axes import Axes
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.forest import ForestRow, Reference, forest
from bestiary.reporting.drawing import HIT, MISS, QUIET, REST
from bestiary.stats.intervals import wilson_interval

MAX_WEAKEST = 18
UNEVEN = 2.0  # images of the largest class, over the smallest: from here on, classes are uneven
FUNNEL_POINTS = 40
MAX_NAMED = 6  # weakest classes named in the scatter

HEAD = ("class", "images", "recall", "recall_low", "recall_high", "most_often_taken_for", "times")


def scored_classes(results: Judged) -> list[dict[str, Any]]:
    """Describe the classes that have images, weakest first.

    Args:
        results: the results of a run.

    Returns:
        Per class: index, name, support, recall (value, low, high), wrong, taken_for and times.
    """
    rows = []
    for index, scores in enumerate(results.per_class):
        if scores["recall"] is None:
            continue
        others = results.confusion[index].copy()
        others[index] = 0
        worst = int(others.argmax())
        rows.append(
            {
                "index": index,
                "name": plain_name(results.classes[index]),
                "support": scores["support"],
                "recall": scores["recall"],
                "wrong": int(others.sum()),
                "taken_for": plain_name(results.classes[worst]) if others[worst] else "",
                "times": int(others[worst]),
            }
        )
    rows.sort(key=lambda row: (row["recall"]["value"], -row["support"], row["index"]))
    return rows


def weakest_chart(results: Judged) -> Chart:
    """Draw the weakest classes: share found, its interval, and where the mistakes go.

    Args:
        results: the results of a run.

    Returns:
        The chart.
    """
    classes = scored_classes(results)
    shown = classes[:MAX_WEAKEST]
    rows = [_forest_row(row) for row in shown]
    accuracy = results.scores["accuracy"]["value"]
    low = min(row.low for row in rows)
    span = (np.floor(10 * min(low, 0.9)) / 10, 1.0)
    references = [Reference(accuracy, f"all images {percent(accuracy)}", HIT)]
    title = _weakest_title(classes)
    drawings = [forest(title, rows, span, references, narrow=narrow) for narrow in (False, True)]
    sizes = [row["support"] for row in classes]
    few = sum(row["wrong"] <= 1 for row in classes)
    note = (
        f"Dot: share of the class's images that were recognized. Line: 95{NO_BREAK}% interval "
        f"({_span(sizes)} images of a class). At the right: what it is most often taken for. "
        f"{few} of {count(len(classes), 'class', 'classes')} have one mistake at most."
    )
    return Chart(
        "weakest-classes",
        title,
        note,
        drawings[0],
        HEAD,
        [_csv_row(row) for row in classes],
        drawings[1],
    )


def _weakest_title(classes: list[dict[str, Any]]) -> str:
    worst = classes[0]
    if not worst["wrong"]:
        return "No class has a mistake"
    found = percent(worst["recall"]["value"])
    title = f"{worst['name']} is recognized least often: {found} of its images"
    if worst["times"] >= 2:
        title += f", most often taken for {worst['taken_for']}"
    return title


def _forest_row(row: dict[str, Any]) -> ForestRow:
    recall = row["recall"]
    aside = f"{row['times']} \N{RIGHTWARDS ARROW} {row['taken_for']}" if row["times"] else ""
    note = (
        f"{row['name']}: {percent(recall['value'])} "
        f"({percent_range(recall['low'], recall['high'])}) of {count(row['support'], 'image')}"
    )
    return ForestRow(row["name"], recall["value"], recall["low"], recall["high"], note, aside)


def _csv_row(row: dict[str, Any]) -> tuple[object, ...]:
    recall = row["recall"]
    return (
        row["name"],
        row["support"],
        float(recall["value"]),
        float(recall["low"]),
        float(recall["high"]),
        row["taken_for"],
        row["times"],
    )


def support_chart(results: Judged) -> Chart | None:
    """Draw recall by number of images of a class, with the funnel of chance.

    Args:
        results: the results of a run.

    Returns:
        The chart; None where all classes have about as many images.
    """
    classes = scored_classes(results)
    sizes = np.array([row["support"] for row in classes])
    if sizes.max() < UNEVEN * sizes.min():
        return None
    recalls = np.array([row["recall"]["value"] for row in classes])
    pooled = float(results.hits.mean())
    grid = np.geomspace(max(1, sizes.min() * 0.9), sizes.max() * 1.1, FUNNEL_POINTS)
    funnel = np.array([wilson_interval(pooled, float(n)) for n in grid])
    below = sum(
        recall < wilson_interval(pooled, float(n))[0]
        for recall, n in zip(recalls, sizes, strict=True)
    )
    title = (
        f"{count(int(below), 'class', 'classes')} of {len(classes)} fall short of the rest by more "
        f"than chance"
    )
    low = max(0.0, float(np.floor(10 * recalls.min()) / 10) - 0.02)
    axes = Axes(
        title,
        (float(grid[0]), float(grid[-1])),
        (low, 1.0),
        ("images of the class (log scale)", ""),
        ticks=_log_ticks(float(grid[0]), float(grid[-1])),
        formats=(lambda value: f"{value:,.0f}", lambda value: percent(value, 0)),
        log_x=True,
    )
    for end in (0, 1):
        axes.line(grid.tolist(), funnel[:, end].tolist(), REST, dashed=True, width=1.2)
    axes.line([float(grid[0]), float(grid[-1])], [pooled, pooled], QUIET, width=1)
    for rank, row in enumerate(classes):
        x, y = axes.position(row["support"], row["recall"]["value"])
        is_low = row["recall"]["value"] < wilson_interval(pooled, row["support"])[0]
        axes.drawing.dot(x, y, 3.6, MISS if is_low else HIT, 0.85, note=_forest_row(row).note)
        if is_low and rank < MAX_NAMED:
            axes.drawing.words(
                x + (7 if x < 260 else -7), y + 4, row["name"], "start" if x < 260 else "end", 11
            )
    note = (
        f"One dot a class. Dashed: where 95{NO_BREAK}% of the classes would lie if all were "
        f"equally hard ({count(len(results.labels), 'image')}, {percent(pooled)} recognized)."
    )
    rows = [_csv_row(row) for row in classes]
    return Chart("images-and-recall", title, note, axes.drawing, HEAD, rows)


def _log_ticks(low: float, high: float) -> list[float]:
    values = [factor * 10.0**power for power in range(7) for factor in (1, 2, 5)]
    inside = [value for value in values if low <= value <= high]
    return inside if len(inside) <= 7 else inside[::2]


def _span(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
