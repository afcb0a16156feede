"""Results -> the report page: one self-contained HTML file that opens offline.

The page shows what `sections`, `figures` and `gallery` make of the results. Computes no score.
"""

from typing import Any

import numpy as np

from bestiary.display import Display
from bestiary.evaluation.results import Results
from bestiary.printable import printable_name
from bestiary.reporting import figures, sections
from bestiary.reporting.budget_section import budget_record, budget_table, budget_text
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.drawing import Drawing
from bestiary.reporting.gallery import (
    MAX_MISTAKES,
    Examples,
    Gallery,
    choose_examples,
    confused_pairs,
    order_by_confusion,
)
from bestiary.reporting.render import render
from bestiary.reporting.saliency_examples import saliency_examples
from bestiary.stats.calibration import risk_coverage
from bestiary.stats.metrics import reliability

MAX_PAIRS = 12  # confused pairs of classes shown with images
MAX_EXAMPLES = 12  # mistakes, and as many unsure hits, shown as large images
LARGE_SIDE = 160  # pixels of the long side of a large image


def run_page(results: Results, display: Display, *, with_saliency: bool = True) -> str:
    """Render the report page of a run.

    Args:
        results: the results of a run.
        display: shows the progress.
        with_saliency: whether to compute saliency maps.

    Returns:
        The page as HTML. An image that is missing is shown by name.
    """
    examples = choose_examples(results)
    gallery = _read_gallery(results, examples, display)
    saliency = saliency_examples(results, examples, display) if with_saliency else []
    return render(
        "run.html",
        percent=sections.percent,
        interval=sections.interval_percent,
        headline=_headline(results),
        texts=_texts(results),
        budget=_budget(results),
        drawings=_drawings(results),
        curves=[drawing.svg(themed=True) for drawing in figures.curves(results.histories)],
        tables={
            "scores": sections.score_table(results),
            "prediction_sets": sections.prediction_set_table(results),
            "accepted": sections.accepted_table(results),
        },
        temperature=results.calibration.temperature,
        ood_limits=results.ood.limits,
        classes=sections.class_rows(results),
        audit=sections.audit_rows(results),
        costs=cost_rows(results),
        recipe=results.snapshot.recipe.to_toml(),
        saliency=saliency,
        hidden=max(0, len(examples.mistakes) - MAX_MISTAKES),
        data=_script_data(results, gallery, examples),
    )


def _read_gallery(results: Results, examples: Examples, display: Display) -> Gallery:
    """Read all images of the page, large ones first."""
    gallery = Gallery(results.snapshot.images)
    paths = results.table["path"]
    large = [examples.mistakes[:MAX_EXAMPLES], examples.unsure[:MAX_EXAMPLES]]
    small = [*examples.typical.values(), examples.mistakes[:MAX_MISTAKES]]
    with display.counter("Images for the page") as tick:
        gallery.add(paths[np.concatenate(large)].to_list(), LARGE_SIDE)
        gallery.add(paths[np.concatenate(small)].to_list())
        tick(len(gallery.uris), len(gallery.uris))
    return gallery


def _headline(results: Results) -> dict[str, Any]:
    """What the top of the page shows."""
    return {
        "run": results.run.name,
        "accuracy": results.scores["accuracy"],
        "ensemble": results.scores["ensemble"],
        "classes": len(results.classes),
        "folds": len(results.snapshot.folds),
        "backbone": results.snapshot.recipe.model.backbone,
    }


def _texts(results: Results) -> dict[str, str]:
    folds = len(results.snapshot.folds)
    return {
        "accuracy": sections.accuracy_text(results),
        "data": sections.data_text(results),
        "method": sections.method_text(results.snapshot.recipe, folds),
        "reproduce": sections.reproduce_command(results),
    }


def _budget(results: Results) -> dict[str, Any] | None:
    """What was tried within a time budget, if the run had one."""
    record = budget_record(results)
    if record is None:
        return None
    return {"text": budget_text(record), "table": budget_table(record)}


def _drawings(results: Results) -> dict[str, str]:
    """Name -> SVG that follows the colors of the page."""
    before = reliability(results.raw.max(axis=1), results.hits)
    after = reliability(results.confidence, results.hits)
    drawings: dict[str, Drawing] = {
        "accuracy": figures.accuracy_figure(results),
        "reliability": figures.reliability_figure(before, after),
        "risk": figures.risk_figure(*risk_coverage(results.confidence, results.hits)),
    }
    return {name: drawing.svg(themed=True) for name, drawing in drawings.items()}


def _script_data(results: Results, gallery: Gallery, examples: Examples) -> dict[str, Any]:
    """What run.js draws the confusion matrix and the galleries from.

    Images are a list; everything else refers to them by their index in it.
    """
    counts = results.confusion
    rows = _shown_rows(examples)
    image_index = {row: index for index, row in enumerate(rows)}
    cells = [[int(a), int(b), int(counts[a, b])] for a, b in zip(*np.nonzero(counts), strict=True)]
    return {
        "classes": [printable_name(name) for name in results.classes],
        "order": order_by_confusion(counts),
        "cells": cells,
        "support": counts.sum(axis=1).tolist(),
        "images": _image_records(results, gallery, rows),
        "typical": {
            label: [image_index[row] for row in typical.tolist()]
            for label, typical in examples.typical.items()
        },
        "pairs": [list(pair) for pair in confused_pairs(counts)[:MAX_PAIRS]],
        "mistakes": [image_index[row] for row in examples.mistakes[:MAX_EXAMPLES].tolist()],
        "unsure": [image_index[row] for row in examples.unsure[:MAX_EXAMPLES].tolist()],
    }


def _shown_rows(examples: Examples) -> list[int]:
    """The rows that the page shows, each once."""
    mistakes = examples.mistakes[:MAX_MISTAKES]
    unsure = examples.unsure[:MAX_EXAMPLES]
    typical = np.concatenate(list(examples.typical.values()))
    return list(dict.fromkeys([*mistakes.tolist(), *unsure.tolist(), *typical.tolist()]))


def _image_records(results: Results, gallery: Gallery, rows: list[int]) -> list[list[Any]]:
    """Per row: path, label, predicted class, confidence, fold, data URI."""
    paths = results.table["path"].to_list()
    predicted = results.predicted
    confidence = results.confidence
    folds = results.folds
    records = []
    for row in rows:
        records.append(
            [
                printable_name(paths[row]),
                int(results.labels[row]),
                int(predicted[row]),
                round(float(confidence[row]), 4),
                int(folds[row]),
                gallery.uris[paths[row]],
            ]
        )
    return records
