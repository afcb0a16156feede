"""Calibration -> the section on trust: sure answers, prediction sets, unknown images, in words."""

from typing import Any

import numpy as np

from bestiary.evaluation.results import Results, prediction_set_scores
from bestiary.numbers import count, percent, plain_name
from bestiary.stats.calibration import least_images

SCORE_WORDS = {
    "energy": "energy of the logits",
    "distance": "Mahalanobis distance to the nearest class",
    "both": "the sum of energy and Mahalanobis distance to the nearest class, each by its spread",
}


def trust_section(results: Results) -> dict[str, Any]:
    """Describe what can be relied on.

    Args:
        results: the results of a run.

    Returns:
        accepted and left_out (sentences), sets (rows), unknown, temperature and formulas (text).
    """
    temperature = results.calibration.temperature
    if temperature > 1.02:
        direction = "It was too sure of itself; confidences are lowered."
    elif temperature < 0.98:
        direction = "It was too modest; confidences are raised."
    else:
        direction = "Its confidences needed hardly a change."
    return {
        "accepted": accepted_sentences(results),
        "sets": set_rows(results),
        "temperature": direction,
        "unknown": (
            "An image unlike anything it was trained on is called unknown, whatever its "
            "confidence. The limits are set so that 5 % of the known images are called so, too."
        ),
        "left_out": left_out_sentences(results),
        "formulas": (
            f"Temperature {temperature:.3f}, fitted on all images; each fold's confidences use the "
            f"other folds'. Unknown: {SCORE_WORDS[results.ood.score]} above "
            f"{results.ood.deciding_limit:.2f}. Alone, the limit of energy is "
            f"{results.ood.limits[0]:.2f}, that of the Mahalanobis distance to the nearest class "
            f"{results.ood.limits[1]:.2f}. Prediction sets are conformal, with the limits of the "
            f"other folds."
        ),
    }


def left_out_sentences(results: Results) -> list[str]:
    """Say how well an unknown class is told, by classes that were left out in turn.

    Args:
        results: the results of a run.

    Returns:
        Sentences; none where no class was left out.
    """
    record = results.unknown
    if not record:
        return []
    single = [one for one in record.sets if len(one.classes) == 1]
    hardest = min(record.sets, key=lambda one: one.auroc.get(record.score, 1.0))
    names = ", ".join(plain_name(name) for name in hardest.classes)
    groups = count(len(record.sets) - len(single), "group of look-alikes", "groups of look-alikes")
    return [
        f"How well does it tell a class that it has never seen? "
        f"{count(len(single), 'class', 'classes')} and {groups} were left out in turn: "
        f"{percent(record.caught)} of their images were called unknown, with 5 % of the known ones "
        f"(AUROC {record.auroc:.3f}; decided by {SCORE_WORDS[record.score]}).",
        f"Hardest to tell: {names}, {percent(hardest.caught.get(record.score, 0.0))} of "
        f"{count(hardest.images, 'image')}. Measured with heads on the frozen network, whose own "
        f"training may have shown it such things.",
    ]


def accepted_sentences(results: Results) -> list[str]:
    """Say for each promised share of errors what it takes to keep the promise.

    Args:
        results: the results of a run.

    Returns:
        One sentence a promise.
    """
    sentences = []
    seen: set[float] = set()
    for risk, threshold in sorted(results.calibration.accepted.items()):
        if threshold in seen:
            continue  # the stricter promise says more
        if threshold <= 1:
            seen.add(threshold)
        promise = f"At most {100 * risk:g} % wrong"
        accepted = results.confidence >= threshold
        if threshold > 1 or not accepted.any():
            sentences.append(
                f"{promise}: cannot be promised yet. It takes about {least_images(risk):,} answers "
                "without a mistake, near duplicates counted once; here there are "
                f"{_clean_start(results):,} before the first."
            )
            continue
        wrong = float((~results.hits[accepted]).mean())
        sentences.append(
            f"{promise}: accept from a confidence of {percent(threshold)} on. That answers "
            f"{percent(float(accepted.mean()))} of the images; {percent(wrong)} of these were "
            f"wrong."
        )
    return sentences


def _clean_start(results: Results) -> int:
    """How many answers, surest first and a group once, come before the first mistake."""
    order = (-results.confidence).argsort(kind="stable")
    hits = results.hits[order]
    n_clean = int(hits.argmin()) if not hits.all() else len(hits)
    return len(np.unique(results.out_of_fold.leak_groups[order[:n_clean]]))


def set_rows(results: Results) -> list[tuple[str, str, str, str]]:
    """List the prediction sets: target and measured coverage, and mean size.

    Args:
        results: the results of a run.

    Returns:
        One row for each requested coverage and kind of guarantee; cross-fitted.
    """
    kinds = {"all": "all images together", "class": "every class"}
    return [
        (
            f"{100 * scores['coverage']:g} %",
            kinds[scores["kind"]],
            percent(scores["empirical_coverage"]),
            f"{scores['size']:.2f}",
        )
        for scores in prediction_set_scores(results)
    ]
