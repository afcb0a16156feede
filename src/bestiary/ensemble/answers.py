"""A scored batch -> what is said of each picture: classes with their confidence, the set, sure, unknown.

The one place where logits become an answer, for tables, pages and services alike. Knows nothing of files.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bestiary.ensemble.ensemble import Ensemble, Scored
from bestiary.errors import ArgumentError
from bestiary.stats.averaging import Average, agreement
from bestiary.stats.calibration import COVERAGES, RISKS, Sets, set_names

TOP = 5


@dataclass(frozen=True, slots=True)
class Caution:
    """How careful answers are to be.

    Attributes:
        coverage: share of the pictures whose set holds the true class, one of `COVERAGES`.
        sets: all: over all pictures; class: within each class.
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
    """What an ensemble says of one picture.

    Attributes:
        top: the `TOP` likeliest classes with their confidence, 0 to 1, likeliest first.
        agreement: share of the members whose own first choice is the likeliest class, 0 to 1.
        names: the classes of the set, likeliest first; None where the run is not calibrated.
        sure: whether the confidence is enough for the risk asked for, and the picture is not unknown; None likewise.
        unknown: whether the picture is less like the known ones than most of these are; None likewise.
    """

    top: list[tuple[str, float]]
    agreement: float
    names: list[str] | None = None
    sure: bool | None = None
    unknown: bool | None = None

    def columns(self) -> dict[str, Any]:
        """The answer as columns of a table, without those that it does not know."""
        found: dict[str, Any] = {"agreement": self.agreement}
        for rank, (label, confidence) in enumerate(self.top, 1):
            suffix = "" if rank == 1 else f"_{rank}"
            found |= {f"label{suffix}": label, f"confidence{suffix}": confidence}
        if self.names is not None:
            found |= {"set": "|".join(self.names), "sure": self.sure, "unknown": self.unknown}
        return found


def answer_batch(
    ensemble: Ensemble, scored: Scored, rule: Average, caution: Caution
) -> list[Answer]:
    """The answer for each picture of a batch; those of pictures that could not be read mean nothing."""
    probabilities, known = ensemble.probabilities(scored.logits, rule), ensemble.calibration
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    agreeing = agreement(scored.logits, best[:, 0])
    tops = [
        [(str(ensemble.classes_[label]), float(probabilities[place, label])) for label in ranked]
        for place, ranked in enumerate(best)
    ]
    if not (known and ensemble.known):
        return [Answer(top, float(share)) for top, share in zip(tops, agreeing, strict=True)]
    held = known.set_of(probabilities, caution.coverage, caution.sets)
    names = set_names(held, probabilities, ensemble.classes_.tolist())
    unknown = ensemble.known.is_unknown(scored.logits)
    sure = (probabilities.max(axis=1) >= known.sure[caution.risk]) & ~unknown
    return [
        Answer(top, float(agreeing[place]), names[place], bool(sure[place]), bool(unknown[place]))
        for place, top in enumerate(tops)
    ]
