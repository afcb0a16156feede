"""Right and wrong examples -> views with Grad-CAM saliency maps, for the report page.

Each map comes from the member that was not trained on the image. Knows no HTML.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, read_image
from bestiary.data.thumbnails import pixels_uri
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import overlay, saliency
from bestiary.errors import ImageError
from bestiary.evaluation.results import Results
from bestiary.model.classifier import Classifier
from bestiary.reporting.gallery import Examples, Rows

MAX_EXAMPLES = 6  # right, and as many wrong, examples
VIEW_SIDE = 160  # pixels of the long side of a view


def saliency_examples(
    results: Results, examples: Examples, display: Display
) -> list[dict[str, Any]]:
    """Compute saliency maps of mistakes and of hits in different classes.

    Args:
        results: the results of a run.
        examples: the example rows, see `choose_examples`.
        display: shows the progress.

    Returns:
        Per example: path, label, predicted, confidence, and the data URIs view and heat. Empty if
        the network has no feature maps.
    """
    chosen = np.concatenate([examples.mistakes[:MAX_EXAMPLES], _spread_hits(results, examples)])
    ensemble = Ensemble.load(results.run, engine="torch")
    members = dict(zip(ensemble.folds, ensemble.members, strict=True))
    cards: dict[int, dict[str, Any]] = {}
    with display.counter("Saliency maps") as tick:
        for fold in np.unique(results.folds[chosen]):
            rows = chosen[results.folds[chosen] == fold]
            views = _read_views(results, ensemble, rows)
            cards |= _fold_cards(results, members[int(fold)], views)
            tick(len(cards), len(chosen))
    return [cards[int(row)] for row in chosen if int(row) in cards]


def _spread_hits(results: Results, examples: Examples) -> Rows:
    """The most confident hit of some classes, evenly spread over the range of confidence."""
    hits = examples.unsure[::-1]
    _, first_of_class = np.unique(results.labels[hits], return_index=True)
    surest = hits[np.sort(first_of_class)]
    spaced = np.linspace(0, len(surest) - 1, MAX_EXAMPLES).astype(np.int64)
    return surest[np.unique(spaced)[: len(surest)]]


def _read_views(results: Results, ensemble: Ensemble, rows: Rows) -> dict[int, Pixels]:
    """Row -> the view that a member is given; rows whose image cannot be read are left out."""
    images = results.snapshot.images
    views = {}
    for row in rows.tolist():
        try:
            content = read_image(images / results.table["path"][row])
            views[row] = ensemble.view(ensemble.view.decode(content))
        except ImageError:
            continue
    return views


def _fold_cards(
    results: Results, member: Classifier, views: dict[int, Pixels]
) -> dict[int, dict[str, Any]]:
    """Row -> card of each view; empty if the member has no feature maps."""
    if not views:
        return {}
    targets = [int(results.predicted[row]) for row in views]
    maps = saliency(member, list(views.values()), targets)
    if maps is None:
        return {}
    return {
        row: _card(results, row, view, heat)
        for (row, view), heat in zip(views.items(), maps, strict=True)
    }


def _card(results: Results, row: int, view: Pixels, heat: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "path": results.table["path"][row],
        "label": results.classes[results.labels[row]],
        "predicted": results.classes[results.predicted[row]],
        "confidence": float(results.confidence[row]),
        "view": pixels_uri(view, VIEW_SIDE),
        "heat": pixels_uri(overlay(view, heat), VIEW_SIDE),
    }
