"""Logits of a batch and rules of the field -> answers with further columns, and those of events.

Knows nothing of where the rules come from.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.ensemble.answers import Answer, PredictionOptions, answer_probabilities
from bestiary.ensemble.batch_logits import BatchLogits
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.field_rules import FieldRules
from bestiary.recipe.choices import Average
from bestiary.stats.averaging import average

Floats = NDArray[np.float64]
EVENT_SCHEMA = {
    "event_label": pl.String,
    "event_confidence": pl.Float64,
    "event_accepted": pl.Boolean,
}


def answer_in_field(
    ensemble: Ensemble,
    batch: BatchLogits,
    rule: Average,
    options: PredictionOptions,
    rules: FieldRules,
    rows: pl.DataFrame,
) -> tuple[list[Answer], Floats]:
    """Turn the logits of a batch into answers by the rules of the field.

    What is accepted, or sure at a rank, has the probability that it had before classes were
    removed: a list of species makes no answer surer.

    Args:
        ensemble: the ensemble that computed them.
        batch: the logits.
        rule: how the members are averaged.
        options: coverage and risk.
        rules: what changes answers.
        rows: of the listing, one an image of the batch.

    Returns:
        An answer for each image; and the calibrated logits with the prior (members, images,
        classes), of which events take the mean.
    """
    added = rules.prior_of(rows)
    logits = rules.field_logits(batch.logits, added)
    whole = _probabilities(logits, rule, rules, added)
    shown, removed = rules.remove(whole)
    if rules.calibration is None:
        answers = answer_probabilities(ensemble, batch, shown)
        return _with_columns(answers, rules, shown, removed, options), logits

    certain = whole if rules.allowed is None else whole * rules.allowed
    inside = rules.calibration.set_mask(shown, options.coverage, options.sets)
    threshold = np.full(len(shown), rules.calibration.accepted[options.risk])
    for chosen, calibration in rules.calibration_of(added):
        inside[chosen] = calibration.set_mask(shown[chosen], options.coverage, options.sets)
        threshold[chosen] = calibration.accepted[options.risk]
    is_confident = certain.max(axis=1) >= threshold
    if rules.allowed is not None:
        inside &= rules.allowed
    answers = answer_probabilities(ensemble, batch, shown, inside, is_confident)
    return _with_columns(answers, rules, certain, removed, options), logits


def answer_event(
    logits: Floats, rule: Average, options: PredictionOptions, rules: FieldRules, classes: list[str]
) -> dict[str, Any]:
    """Turn the mean logits of an event into its answer.

    Args:
        logits: calibrated, with the prior (members, classes).
        rule: how the members are averaged.
        options: the risk is used.
        rules: with a calibration of events.
        classes: names of the classes.

    Returns:
        The columns of `EVENT_SCHEMA`.
    """
    calibration = rules.card.events
    if calibration is None:
        return dict.fromkeys(EVENT_SCHEMA)
    whole = calibration.probabilities(logits[:, None], rule)
    shown, removed = rules.remove(whole)
    best = int(shown[0].argmax())
    confidence = float(shown[0, best])
    certain = confidence * float(1 - removed[0])
    return {
        "event_label": classes[best],
        "event_confidence": confidence,
        "event_accepted": certain >= calibration.accepted[options.risk],
    }


def _probabilities(
    logits: Floats, rule: Average, rules: FieldRules, added: Floats | None
) -> Floats:
    """Average the members; images with a prior are calibrated for it."""
    probabilities = average(logits, rule)
    for chosen, calibration in rules.calibration_of(added):
        if calibration is not rules.calibration and chosen.any():
            probabilities[chosen] = calibration.probabilities(logits[:, chosen], rule)
    return probabilities


def _with_columns(
    answers: Sequence[Answer],
    rules: FieldRules,
    certain: Floats,
    removed: Floats,
    options: PredictionOptions,
) -> list[Answer]:
    """Add the lowest rank that is sure, and what a list has removed."""
    columns: list[dict[str, Any]] = [{} for _ in answers]
    if rules.levels:
        columns = rules.rank_columns(certain, options.risk)
        for answer, row in zip(answers, columns, strict=True):
            if answer.unknown:  # an image unlike any known one is sure at no rank
                row.update(dict.fromkeys(row))
    if rules.allowed is not None:
        for row, share in zip(columns, removed.tolist(), strict=True):
            row["removed"] = share
    return [replace(answer, field=row) for answer, row in zip(answers, columns, strict=True)]
