"""Logits of a batch -> an answer for each image: ranked classes, confidence, prediction set, flags.

This is the one place where logits become an answer, for tables, pages and services alike. Knows
nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bestiary.ensemble.batch_logits import BatchLogits
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.resumable_table import MEMBERS_USED, STOPPED_EARLY
from bestiary.errors import ArgumentError
from bestiary.recipe.choices import Average, Sets
from bestiary.stats.averaging import member_agreement
from bestiary.stats.calibration import COVERAGES, RISKS, set_names

TOP_CLASSES = 5  # classes that an answer ranks


@dataclass(frozen=True, slots=True)
class PredictionOptions:
    """The coverage and the risk that answers are given for.

    Attributes:
        coverage: share of images whose prediction set contains the true class; one of `COVERAGES`.
        sets: all: that share of all images; class: of the images of each class.
        risk: largest share of errors among accepted answers; one of `RISKS`.

    Raises:
        ArgumentError: coverage, sets or risk is none of the offered values.
    """

    coverage: float = 0.9
    sets: Sets = "all"
    risk: float = 0.05

    def __post_init__(self) -> None:
        _check_choice("coverage", self.coverage, COVERAGES)
        _check_choice("sets", self.sets, get_args(Sets))
        _check_choice("risk", self.risk, RISKS)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an ensemble says about one image.

    Attributes:
        top: the `TOP_CLASSES` most probable classes with their confidence (0 to 1), best first.
        member_agreement: share of the members whose first choice is the most probable class, 0 to
            1.
        prediction_set: classes of the prediction set, most probable first; None: not calibrated.
        accepted: whether the confidence is enough for the risk and the image is not unknown; None:
            not calibrated.
        unknown: whether the image is out of distribution; None: not calibrated.
        members_used: number of members that computed the image; None: there is no cascade.
        stopped_early: whether a cascade stopped the image; None: there is no cascade.
        field: further columns, see `bestiary.ensemble.field_answers`.
        decided: what a promise or costs decide, by column, see `bestiary.ensemble.decisions`.
    """

    top: list[tuple[str, float]]
    member_agreement: float
    prediction_set: list[str] | None = None
    accepted: bool | None = None
    unknown: bool | None = None
    members_used: int | None = None
    stopped_early: bool | None = None
    field: dict[str, Any] = dataclass_field(default_factory=dict)
    decided: dict[str, Any] = dataclass_field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """Return the answer as columns of a table; values that are None have no column."""
        columns: dict[str, Any] = {"member_agreement": self.member_agreement}
        for rank, (label, confidence) in enumerate(self.top, start=1):
            suffix = "" if rank == 1 else f"_{rank}"
            columns[f"label{suffix}"] = label
            columns[f"confidence{suffix}"] = confidence
        if self.prediction_set is not None:
            columns["prediction_set"] = "|".join(self.prediction_set)
            columns["accepted"] = self.accepted
            columns["unknown"] = self.unknown
        if self.members_used is not None:
            columns[MEMBERS_USED] = self.members_used
            columns[STOPPED_EARLY] = self.stopped_early
        return columns | self.field | self.decided


def answer_batch(
    ensemble: Ensemble,
    batch: BatchLogits,
    rule: Average,
    options: PredictionOptions,
) -> list[Answer]:
    """Turn the logits of a batch into answers.

    Args:
        ensemble: the ensemble that computed them.
        batch: the logits.
        rule: how the members are averaged.
        options: coverage and risk.

    Returns:
        An answer for each image; it means nothing for images that could not be decoded.
    """
    probabilities = ensemble.probabilities(batch.logits, rule)
    if ensemble.calibration is None:
        return answer_probabilities(ensemble, batch, probabilities)
    inside = ensemble.calibration.set_mask(probabilities, options.coverage, options.sets)
    threshold = ensemble.calibration.accepted[options.risk]
    is_confident = probabilities.max(axis=1) >= threshold
    return answer_probabilities(ensemble, batch, probabilities, inside, is_confident)


def answer_probabilities(
    ensemble: Ensemble,
    batch: BatchLogits,
    probabilities: NDArray[np.float64],
    inside: NDArray[np.bool_] | None = None,
    is_confident: NDArray[np.bool_] | None = None,
) -> list[Answer]:
    """Turn the probabilities of a batch into answers.

    Args:
        ensemble: the ensemble that computed the logits.
        batch: the logits.
        probabilities: of the images (images, classes).
        inside: which classes are in the prediction sets (images, classes); None: not calibrated.
        is_confident: whether the confidence is enough for the risk (images,); None: not calibrated.

    Returns:
        An answer for each image; it means nothing for images that could not be decoded.
    """
    answers = _uncalibrated_answers(probabilities, batch.logits, ensemble.classes_)
    if batch.stopped is not None:
        n_members = len(batch.logits)
        answers = [
            replace(answer, members_used=1 if is_stopped else n_members, stopped_early=is_stopped)
            for answer, is_stopped in zip(answers, batch.stopped.tolist(), strict=True)
        ]
    if inside is None or is_confident is None or ensemble.ood is None:
        return answers

    sets = set_names(inside, probabilities, ensemble.classes_.tolist())
    is_unknown = ensemble.ood.is_unknown(batch.logits)
    if batch.stopped is not None:
        is_unknown &= ~batch.stopped  # the first member alone has found them known
    answers = _add_calibrated(answers, sets, is_confident, is_unknown)
    if ensemble.decisions is None:
        return answers
    decided = ensemble.decisions.columns(probabilities, is_unknown, ensemble.classes_.tolist())
    return [replace(answer, decided=one) for answer, one in zip(answers, decided, strict=True)]


def _uncalibrated_answers(
    probabilities: NDArray[np.float64],
    logits: NDArray[np.float32],
    classes: NDArray[np.str_],
) -> list[Answer]:
    """Rank the classes of each image, and count the members that agree on the first."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = ranked[:, :TOP_CLASSES]
    tops = _top_classes(probabilities, ranked, classes)
    agreement = member_agreement(logits, ranked[:, 0])

    answers = []
    for top, share in zip(tops, agreement, strict=True):
        answers.append(Answer(top, float(share)))
    return answers


def _add_calibrated(
    answers: Sequence[Answer],
    sets: Sequence[list[str]],
    is_confident: NDArray[np.bool_],
    is_unknown: NDArray[np.bool_],
) -> list[Answer]:
    """Add to each answer its prediction set, and whether it is accepted and unknown."""
    calibrated = []
    for index, answer in enumerate(answers):
        unknown = bool(is_unknown[index])
        calibrated_answer = replace(
            answer,
            prediction_set=sets[index],
            accepted=bool(is_confident[index]) and not unknown,
            unknown=unknown,
        )
        calibrated.append(calibrated_answer)
    return calibrated


def _top_classes(
    probabilities: NDArray[np.float64],
    ranked: NDArray[np.int64],
    classes: NDArray[np.str_],
) -> list[list[tuple[str, float]]]:
    """Name the ranked classes of each image with their confidence."""
    tops = []
    for image_probabilities, ranking in zip(probabilities, ranked, strict=True):
        names = classes[ranking].tolist()
        confidences = image_probabilities[ranking].tolist()
        tops.append(list(zip(names, confidences, strict=True)))
    return tops


def _check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        offered = ", ".join(map(str, choices))
        raise ArgumentError(f"--{name} {value}: choose {offered}")
