"""Held-out results -> one self-contained page: finding, weakest classes, mistakes, trust.

The charts are those of a run's report. Computes no score.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.data.thumbnails import image_uri
from bestiary.evaluation.evaluation_text import Evaluation
from bestiary.evaluation.held_out_results import HeldOutResults
from bestiary.numbers import NO_BREAK, count, percent, percent_range, plain_name
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.classes import support_chart, weakest_chart
from bestiary.reporting.charts.scores import confusion_chart
from bestiary.reporting.charts.trust import coverage_chart, reliability_chart
from bestiary.reporting.gallery import order_by_confusion
from bestiary.reporting.render import render
from bestiary.stats.look_alikes import look_alike_groups

MAX_SHOWN = 12  # mistakes, and as many barely right
SIDE = 240  # pixels of the long side of an image


def evaluation_page(evaluation: Evaluation, run: str, data: str) -> str:
    """Render the page of an evaluation on held-out images.

    Args:
        evaluation: with its results.
        run: place of the run, to be shown.
        data: place of the images, to be shown.

    Returns:
        The page as HTML.
    """
    results, scores = evaluation.results, evaluation.scores
    accuracy = results.scores["accuracy"]
    interval = percent_range(accuracy["low"], accuracy["high"])
    charts = _charts(results)
    wrong = np.flatnonzero(~results.hits)
    right = np.flatnonzero(results.hits)
    groups, _ = look_alike_groups(results.confusion)
    inside = sum(group.mistakes for group in groups)
    return render(
        "evaluation_page.html",
        run=run,
        data=data,
        title=f"Right on {percent(accuracy['value'])} of {count(scores['n'], 'image')} that it had "
        "not seen",
        cards=_cards(results, scores, interval),
        left_out=evaluation.left_out_lines(),
        charts=charts,
        n_wrong=len(wrong),
        pairs=f"{inside} of {count(len(wrong), 'mistake')} lie within "
        f"{count(len(groups), 'group')} of look-alikes"
        if groups
        else "",
        look_alikes=[
            {
                "names": ", ".join(plain_name(results.classes[index]) for index in group.classes),
                "mistakes": count(group.mistakes, "mistake"),
            }
            for group in groups[:MAX_SHOWN]
        ],
        mistakes=_shown(results, wrong[np.argsort(-results.confidence[wrong], kind="stable")]),
        unsure=_shown(results, right[np.argsort(results.confidence[right], kind="stable")]),
        is_uncalibrated=not evaluation.scores["reliability"],
    )


def _charts(results: HeldOutResults) -> dict[str, Chart]:
    n_images = count(len(results.hits), "new image")
    gap = percent(results.scores["calibrated"]["ece"]["value"])
    wrong = percent(1 - float(results.hits.mean()))
    reliability = (
        f"Dots on the dashed line: it keeps what it says. Lines: 95{NO_BREAK}% intervals. Gray: "
        f"how many of {n_images} are how sure. The mean gap is {gap}."
    )
    coverage = (
        f"The rest goes to a person. {n_images}; at the right end all are answered, {wrong} of "
        "them wrong."
    )
    charts = [
        weakest_chart(results),
        support_chart(results),
        confusion_chart(results, order_by_confusion(results.confusion)),
        replace(reliability_chart(results), note=reliability),
        replace(coverage_chart(results), note=coverage),
    ]
    return {chart.name: chart for chart in charts if chart}


def _cards(
    results: HeldOutResults, scores: dict[str, Any], interval: str
) -> list[tuple[str, str, str]]:
    """The four numbers: what, value, and what belongs to it."""
    accuracy = results.scores["accuracy"]
    balanced = results.scores["scores"]["balanced_accuracy"]
    commonest = float(np.bincount(results.labels).max() / len(results.labels))
    cards = [
        ("All members together", percent(accuracy["value"]), f"95{NO_BREAK}% interval {interval}"),
        ("One member, on average", percent(scores["mean_member"]), "each alone, on all images"),
        (
            "Mean over classes",
            percent(balanced["value"]),
            f"{percent_range(balanced['low'], balanced['high'])}; every class counts the same",
        ),
        ("Always the commonest class", percent(commonest), "what answering blindly would reach"),
    ]
    estimate = scores["estimate"]
    if estimate:
        expected = percent_range(estimate["low"], estimate["high"])
        verdict = "as expected" if estimate["holds"] else "not as expected: another kind of image?"
        cards[0] = (*cards[0][:2], f"{interval}; expected {expected}, {verdict}")
    return cards


def _shown(results: HeldOutResults, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The first of some images, with what was answered."""
    shown = []
    for row in rows[:MAX_SHOWN].tolist():
        path = results.paths[row]
        shown.append(
            {
                "path": path,
                "label": results.classes[results.labels[row]],
                "answer": results.classes[results.predicted[row]],
                "right": bool(results.hits[row]),
                "confidence": float(results.confidence[row]),
                "image": image_uri(results.root / path, SIDE),
            }
        )
    return shown
