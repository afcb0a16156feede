"""Members' logits -> confidence that means what it says, sets that hold the truth, answers that are
sure.

Pure functions of arrays, and the few numbers that they need as one object, which `ensemble.json`
holds. How the numbers are found from out-of-fold logits is here too, since it is the same
arithmetic. Knows nothing of runs or networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import beta

from bestiary.stats.averaging import Average, average, softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Sets = Literal["all", "class"]

COVERAGES = (0.8, 0.9, 0.95, 0.99)  # what sets can be asked to cover
RISKS = (0.01, 0.02, 0.05, 0.1)  # shares of errors among sure answers that thresholds are kept for


@dataclass(frozen=True, slots=True)
class Calibration:
    """What out-of-fold predictions say of a run's confidence.

    Attributes:
        temperature: what logits are divided by, above 0.
        sets: coverage -> the largest 1 - probability of a class in the set, over all images.
        class_sets: coverage -> the same for each class (classes,); 1 where its images are too few
            to say.
        sure: risk -> least confidence of a sure answer; 2 where no confidence is enough.
    """

    temperature: float
    sets: dict[float, float]
    class_prediction_sets: dict[float, list[float]]
    accepted: dict[float, float]

    @classmethod
    def fit(cls, logits: NDArray[np.floating], labels: Labels) -> Self:
        """From out-of-fold `logits` (images, classes) and `labels` (images,)."""
        temperature = fit_temperature(logits, labels)
        probabilities = softmax(logits.astype(np.float64) / temperature)
        scores = 1 - probabilities[np.arange(len(labels)), labels]
        hits, confidence = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
        classes = range(logits.shape[1])
        return cls(
            temperature,
            {coverage: conformal_quantile(scores, coverage) for coverage in COVERAGES},
            {
                c: [conformal_quantile(scores[labels == label], c) for label in classes]
                for c in COVERAGES
            },
            {risk: accepted_threshold(confidence, hits, risk) for risk in RISKS},
        )

    @classmethod
    def read(cls, card: dict[str, Any]) -> Self:
        """From what `to_json` gives; KeyError, TypeError or ValueError where it is something
        else.
        """
        for name, known in (
            ("prediction_sets", COVERAGES),
            ("class_prediction_sets", COVERAGES),
            ("accepted", RISKS),
        ):
            if not isinstance(card[name], dict) or {float(key) for key in card[name]} != set(known):
                raise ValueError(f"calibration.{name}")
        if not 0 < float(card["temperature"]) < math.inf:
            raise ValueError(f"calibration.temperature = {card['temperature']}")
        return cls(
            float(card["temperature"]),
            {float(k): float(v) for k, v in card["prediction_sets"].items()},
            {float(k): [float(q) for q in v] for k, v in card["class_prediction_sets"].items()},
            {float(k): float(v) for k, v in card["accepted"].items()},
        )

    def to_json(self) -> dict[str, Any]:
        """What ensemble.json holds under ``calibration``."""
        return {
            "temperature": self.temperature,
            "prediction_sets": self.sets,
            "class_prediction_sets": self.class_prediction_sets,
            "accepted": self.accepted,
        }

    def probabilities(self, logits: NDArray[np.floating], rule: Average) -> Floats:
        """Calibrated probabilities (images, classes) of members' `logits` (members, images,
        classes).
        """
        return average(logits / self.temperature, rule)

    def set_of(
        self, probabilities: Floats, coverage: float, kind: Sets = "all"
    ) -> NDArray[np.bool_]:
        """Which classes are in each image's set (images, classes); the most probable one always
        is.
        """
        limit = np.asarray(
            self.sets[coverage] if kind == "all" else self.class_prediction_sets[coverage]
        )
        return prediction_sets(probabilities, limit)


def fit_temperature(logits: NDArray[np.floating], labels: Labels) -> float:
    """The temperature that makes the log loss of `logits` (images, classes) least: Guo et al. 2017,
    arXiv:1706.04599.

    Between 1/20 and 20: beyond it logits say nothing, or everything.
    """
    wide, rows = logits.astype(np.float64), np.arange(len(labels))

    def log_loss(exponent: float) -> float:
        return float(-log_softmax(wide / math.exp(exponent), axis=1)[rows, labels].mean())

    edge = math.log(20)
    return math.exp(minimize_scalar(log_loss, bounds=(-edge, edge), method="bounded").x)


def conformal_quantile(scores: Floats, coverage: float, most: float = 1.0) -> float:
    """The score that a new image's stays at or below with probability `coverage` at least.

    Split conformal prediction (Vovk et al. 2005; Sadinle, Lei and Wasserman 2019,
    doi:10.1080/01621459.2017.1395341): of n scores the ceil((n + 1) coverage)-th smallest; `most`
    where n is too small for it.
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.partition(scores, rank - 1)[rank - 1]) if 1 <= rank <= len(scores) else most


def prediction_sets(probabilities: Floats, limit: Floats) -> NDArray[np.bool_]:
    """The classes whose 1 - probability is `limit` (a number, or one for each class) at most,
    and the likeliest one.
    """
    held = np.asarray(1 - probabilities <= limit + 1e-12)
    held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
    return held


def accepted_threshold(confidence: Floats, hits: NDArray[np.bool_], risk: float) -> float:
    """The least confidence whose images are wrong in a share of at most `risk`, with 95 %
    certainty.

    From the surest image downwards, as long as the upper Clopper-Pearson limit of the share of
    errors holds (fixed sequence testing: Angelopoulos et al. 2021, arXiv:2110.01052; selective
    classification: Geifman and El-Yaniv 2017, arXiv:1705.08500). The sequence is of 100 steps. It
    begins where two errors are allowed, so that one wrong label among the surest does not end it,
    or, where images are too few for that, where none is.

    Returns:
        0 to 1; 2 where no confidence is enough.
    """
    order = np.argsort(-confidence, kind="stable")
    least = math.ceil(
        math.log(0.05) / math.log(1 - risk)
    )  # so many images without an error show it
    if len(order) < least:
        return 2.0
    roomy = math.ceil(6.3 / risk)  # and so many with two: the Poisson limit of 2 is 6.296
    least = roomy if roomy <= len(order) else least
    errors = np.cumsum(~hits[order])
    kept = 2.0
    for count in np.unique(np.linspace(least, len(order), 100).astype(np.int64)):
        wrong = int(errors[count - 1])
        upper = 1.0 if wrong == count else float(beta.ppf(0.95, wrong + 1, count - wrong))
        if upper > risk:
            break
        kept = float(confidence[order[count - 1]])
    return kept


def risk_coverage(confidence: Floats, hits: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Share of the images that are answered (images,), surest first, and the share of errors
    among these.
    """
    wrong = np.cumsum(~hits[np.argsort(-confidence, kind="stable")])
    counts = np.arange(1, len(hits) + 1)
    return counts / len(hits), wrong / counts


def set_names(
    held: NDArray[np.bool_], probabilities: Floats, classes: Sequence[str]
) -> list[list[str]]:
    """The names in each row of `held` (images, classes), most probable first."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        [str(classes[c]) for c in row if inside[c]]
        for row, inside in zip(ranked, held, strict=True)
    ]
