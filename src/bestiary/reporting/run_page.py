"""Results -> one self-contained HTML page that opens without a connection. Computes no score
itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.data.decode import decode, read_image
from bestiary.data.thumbnails import pixels_uri
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import overlay, saliency
from bestiary.errors import ImageError
from bestiary.evaluation.results import Results
from bestiary.reporting import figures, gallery
from bestiary.reporting import sections as story
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.render import render
from bestiary.run.layout import ENSEMBLE
from bestiary.stats.calibration import risk_coverage
from bestiary.stats.metrics import reliability

PAIRS = 12  # pairs of classes shown with images
SHOWN = 12  # surest mistakes, least sure hits
LOOKED = 6  # right and wrong examples with saliency
LARGE = 160  # pixels of the long side of an image in a gallery

Rows = NDArray[np.int64]


def run_page(results: Results, display: Display, *, with_saliency: bool = True) -> str:
    """The page as HTML; images that are gone are shown by name."""
    shown = gallery.Gallery(results.run.read_root())
    paths = results.table["path"]
    mistakes, unsure = gallery.surest_mistakes(results), gallery.least_sure_hits(results)
    typical = gallery.typical_rows(results)
    with display.counter("Images for the page") as tick:
        shown.add(paths[np.concatenate([mistakes[:SHOWN], unsure[:SHOWN]])].to_list(), LARGE)
        shown.add(paths[np.concatenate([*typical.values(), mistakes[: gallery.SHOWN]])].to_list())
        tick(len(shown.uris), len(shown.uris))
    before = reliability(results.raw.max(axis=1), results.hits)
    after = reliability(results.confidence, results.hits)
    drawings = {
        "accuracy": figures.accuracy_figure(results),
        "reliability": figures.reliability_figure(before, after),
        "risk": figures.risk_figure(*risk_coverage(results.confidence, results.hits)),
    }
    return render(
        "run.html",
        results=results,
        story=story,
        drawings={name: drawing.svg(themed=True) for name, drawing in drawings.items()},
        curves=[drawing.svg(themed=True) for drawing in figures.curves(results.histories)],
        tables={
            "scores": story.score_table(results),
            "prediction_sets": story.caution_table(results),
            "accepted": story.accepted_table(results),
        },
        classes=story.class_rows(results),
        findings=story.findings(results),
        costs=cost_rows(results),
        recipe=results.run.read_recipe().to_toml(),
        looked=_looked(results, mistakes, display) if with_saliency else [],
        hidden=max(0, len(mistakes) - gallery.SHOWN),
        data=_data(results, shown, mistakes, unsure, typical),
    )


def _data(
    results: Results, shown: gallery.Gallery, mistakes: Rows, unsure: Rows, typical: dict[int, Rows]
) -> dict[str, Any]:
    """What the page's script draws the confusion matrix and the galleries from."""
    counts, predicted, confidence = results.confusion, results.predicted, results.confidence
    rows = list(
        dict.fromkeys(
            [
                *mistakes[: gallery.SHOWN].tolist(),
                *unsure[:SHOWN].tolist(),
                *np.concatenate(list(typical.values())).tolist(),
            ]
        )
    )
    place = {row: number for number, row in enumerate(rows)}
    paths = results.table["path"].to_list()
    images = [
        [paths[row], int(results.labels[row]), int(predicted[row]), round(float(confidence[row]), 4),
         int(results.folds[row]), shown.uris[paths[row]]]
        for row in rows
    ]  # fmt: skip
    return {
        "classes": results.classes,
        "order": gallery.order_by_confusion(counts),
        "cells": [
            [int(a), int(b), int(counts[a, b])] for a, b in zip(*np.nonzero(counts), strict=True)
        ],
        "support": counts.sum(axis=1).tolist(),
        "images": images,
        "typical": {
            number: [place[row] for row in found.tolist()] for number, found in typical.items()
        },
        "pairs": [list(pair) for pair in gallery.confused_pairs(counts)[:PAIRS]],
        "mistakes": [place[row] for row in mistakes[:SHOWN].tolist()],
        "unsure": [place[row] for row in unsure[:SHOWN].tolist()],
    }


def _looked(results: Results, mistakes: Rows, display: Display) -> list[dict[str, Any]]:
    """Right and wrong examples with what the member that has not seen them looked at; empty
    where it cannot be told.
    """
    hits = gallery.least_sure_hits(results)[::-1]
    _, first = np.unique(results.labels[hits], return_index=True)  # the surest hit of each class
    spread = hits[np.sort(first)]
    even = np.unique(np.linspace(0, len(spread) - 1, LOOKED).astype(np.int64))[: len(spread)]
    chosen = np.concatenate([mistakes[:LOOKED], spread[even]])
    ensemble = Ensemble.load(results.run, engine="torch")
    cards: dict[int, dict[str, Any]] = {}
    members = dict(
        zip(
            [int(m["fold"]) for m in results.run.read_json(ENSEMBLE)["members"]],
            ensemble.members,
            strict=True,
        )
    )
    with display.counter("Where the members looked") as tick:
        for fold in np.unique(results.folds[chosen]):
            rows = [int(row) for row in chosen if results.folds[row] == fold]
            views = {
                row: view for row in rows if (view := _view(ensemble, results, row)) is not None
            }
            targets = [int(results.predicted[row]) for row in views]
            heat = saliency(members[int(fold)], list(views.values()), targets) if views else None
            if heat is not None:
                cards |= {
                    row: _card(results, row, views[row], map_)
                    for row, map_ in zip(views, heat, strict=True)
                }
            tick(len(cards), len(chosen))
    return [cards[int(row)] for row in chosen if int(row) in cards]


def _view(ensemble: Ensemble, results: Results, row: int) -> NDArray[np.uint8] | None:
    path = results.run.read_root() / results.table["path"][row]
    try:
        return ensemble.view(decode(read_image(path), min_side=ensemble.view.min_side))
    except ImageError:
        return None


def _card(
    results: Results, row: int, view: NDArray[np.uint8], heat: NDArray[np.float32]
) -> dict[str, Any]:
    return {
        "path": results.table["path"][row],
        "label": results.classes[results.labels[row]],
        "predicted": results.classes[results.predicted[row]],
        "confidence": float(results.confidence[row]),
        "view": pixels_uri(view, LARGE),
        "heat": pixels_uri(overlay(view, heat), LARGE),
    }
