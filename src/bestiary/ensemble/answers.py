"""A scored batch -> what is said of each image: classes with their confidence, the set, sure,
unknown.

The one place where logits become an answer, for tables, pages and services alike. Knows nothing of
files.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bestiary.ensemble.ensemble import BatchLogits, Ensemble
from bestiary.errors import ArgumentError
from bestiary.stats.averaging import Average, member_agreement
from bestiary.stats.calibration import COVERAGES, RISKS, Sets, set_names

TOP = 5


@dataclass(frozen=True, slots=True)
class PredictionOptions:
    """How careful answers are to be.

    Attributes:
        coverage: share of the images whose set holds the true class, one of `COVERAGES`.
        sets: all: over all images; class: within each class.
        risk: share of errors among sure answers, at most; one of `RISKS`.
    """

    coverage: float = 0.9
    sets: Sets = "all"
    risk: float = 0.05

    def __post_init__(self) -> None:
        for name, known in (("coverage", COVERAGES), ("risk", RISKS)):
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"--{name} {getattr(self, name)}: choose {', '.join(map(str, known))}"
                )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an ensemble says of one image.

    Attributes:
        top: the `TOP` likeliest classes with their confidence, 0 to 1, likeliest first.
        agreement: share of the members whose own first choice is the likeliest class, 0 to 1.
        names: the classes of the set, likeliest first; None where the run is not calibrated.
        sure: whether the confidence is enough for the risk asked for, and the image is not unknown;
            None likewise.
        unknown: whether the image is less like the known ones than most of these are; None
            likewise.
    """

    top: list[tuple[str, float]]
    member_agreement: float
    prediction_set: list[str] | None = None
    accepted: bool | None = None
    unknown: bool | None = None

    def columns(self) -> dict[str, Any]:
        """The answer as columns of a table, without those that it does not know."""
        found: dict[str, Any] = {"member_agreement": self.member_agreement}
        for rank, (label, confidence) in enumerate(self.top, 1):
            suffix = "" if rank == 1 else f"_{rank}"
            found |= {f"label{suffix}": label, f"confidence{suffix}": confidence}
        if self.prediction_set is not None:
            found |= {
                "prediction_set": "|".join(self.prediction_set),
                "accepted": self.accepted,
                "unknown": self.unknown,
            }
        return found


def answer_batch(
    ensemble: Ensemble, scored: BatchLogits, rule: Average, caution: PredictionOptions
) -> list[Answer]:
    """The answer for each image of a batch; those of images that could not be read mean nothing."""
    probabilities, known = ensemble.probabilities(scored.logits, rule), ensemble.calibration
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    agreeing = member_agreement(scored.logits, best[:, 0])
    tops = [
        [(str(ensemble.classes_[label]), float(probabilities[place, label])) for label in ranked]
        for place, ranked in enumerate(best)
    ]
    if not (known and ensemble.known):
        return [Answer(top, float(share)) for top, share in zip(tops, agreeing, strict=True)]
    held = known.set_of(probabilities, caution.coverage, caution.sets)
    prediction_set = set_names(held, probabilities, ensemble.classes_.tolist())
    unknown = ensemble.known.is_unknown(scored.logits)
    accepted = (probabilities.max(axis=1) >= known.accepted[caution.risk]) & ~unknown
    return [
        Answer(
            top,
            float(agreeing[place]),
            prediction_set[place],
            bool(accepted[place]),
            bool(unknown[place]),
        )
        for place, top in enumerate(tops)
    ]
