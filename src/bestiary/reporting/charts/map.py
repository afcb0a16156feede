"""A map of images -> a chart: right ones as dots, mistakes ringed, a few classes named."""

import numpy as np

from bestiary.evaluation.image_map import ImageMap
from bestiary.evaluation.results import Results
from bestiary.numbers import count, plain_name
from bestiary.reporting.charts.chart import Chart, cut, letters
from bestiary.reporting.drawing import HIT, MISS, Drawing

WIDTH = 920.0
HEIGHT = 560.0
MARGIN = 26.0
MAX_NAMED = 45  # classes with their name on the map
NAME_SIZE = 12.0
NAME_WIDTH = 210.0  # a longer name would hide the images of others; each image has its whole


def map_chart(results: Results, image_map: ImageMap) -> Chart:
    """Draw the map.

    Args:
        results: the results of a run.
        image_map: places of its images.

    Returns:
        The chart.
    """
    rows = image_map.rows
    wrong = ~results.hits[rows]
    stray = int(_is_among_others(results, image_map)[wrong].sum())
    title = _title(int(wrong.sum()), stray)
    drawing = Drawing(WIDTH, HEIGHT, title)
    places = place_on_map(image_map)
    paths = results.table["path"]
    for is_wrong in (False, True):  # rings lie on top
        for index in np.flatnonzero(wrong == is_wrong).tolist():
            row, (x, y) = int(rows[index]), places[index]
            label = plain_name(results.classes[results.labels[row]])
            if is_wrong:
                answer = plain_name(results.classes[results.predicted[row]])
                note = f"{label}, taken for {answer}: {paths[row]}"
                drawing.dot(x, y, 4.6, MISS, ring=True, note=note)
            else:
                drawing.dot(x, y, 2.4, HIT, 0.6)
    _draw_names(drawing, results, image_map)
    part = (
        f"all {count(len(rows), 'image')}"
        if image_map.is_complete
        else f"{count(len(rows), 'image')} of {len(results.labels):,}, most mistakes among them"
    )
    note = (
        f"Images lie near those that the network finds alike (t-SNE of out-of-fold answers, "
        f"{part}). Rings are mistakes. A ring deep among other classes is a wrong label or a hard "
        f"case."
    )
    csv_rows = [
        (
            str(paths[int(row)]),
            results.classes[results.labels[row]],
            results.classes[results.predicted[row]],
            float(x),
            float(y),
        )
        for row, (x, y) in zip(rows.tolist(), image_map.places.tolist(), strict=True)
    ]
    head = ("path", "label", "answer", "x", "y")
    return Chart("map", title, note, drawing, head, csv_rows)


def place_on_map(image_map: ImageMap) -> list[tuple[float, float]]:
    """Places in units of the drawing."""
    return [
        (MARGIN + x * (WIDTH - 2 * MARGIN), MARGIN + y * (HEIGHT - 2 * MARGIN))
        for x, y in image_map.places.tolist()
    ]


def _title(wrong: int, stray: int) -> str:
    if not wrong:
        return "Every image lies among its own kind"
    return (
        f"{stray} of {count(wrong, 'mistake')} lie deep among another class: wrong labels or hard "
        f"cases"
    )


def _is_among_others(results: Results, image_map: ImageMap) -> np.ndarray:
    """Whether most of the ten nearest images on the map have another label."""
    from scipy.spatial import KDTree

    labels = results.labels[image_map.rows]
    nearest = min(11, len(labels))
    _, found = KDTree(image_map.places).query(image_map.places, k=nearest)
    same = labels[found[:, 1:]] == labels[:, None]
    return np.asarray(same.mean(axis=1) < 0.5)


def _draw_names(drawing: Drawing, results: Results, image_map: ImageMap) -> None:
    """Name each class at the middle of its images, where no other name stands."""
    labels = results.labels[image_map.rows]
    names = np.unique(labels)
    if len(names) > MAX_NAMED:
        return
    places = np.array(place_on_map(image_map))
    taken: list[tuple[float, float, float]] = []
    for label in names.tolist():
        x, y = np.median(places[labels == label], axis=0)
        name = cut(plain_name(results.classes[label]), NAME_WIDTH, NAME_SIZE)
        half = 3.4 * letters(name)
        x = min(max(x, half + 4), WIDTH - half - 4)
        y = _free_height(x, y, half, taken)
        taken.append((x, y, half))
        drawing.words(x, y + 4, name, "middle", NAME_SIZE, bold=True, halo=True)


def _free_height(x: float, y: float, half: float, taken: list[tuple[float, float, float]]) -> float:
    for shift in (0, -14, 14, -28, 28):
        free = all(
            abs(x - other_x) > half + other_half or abs(y + shift - other_y) > 12
            for other_x, other_y, other_half in taken
        )
        if free:
            return y + shift
    return y
