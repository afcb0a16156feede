"""Out-of-fold logits -> calibration: temperature, conformal prediction sets, accepted answers.

Pure functions of arrays, and the fitted numbers as one object, which ensemble.json stores. Fitting
and applying stand together, since both use the same arithmetic. Knows nothing of runs or networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from bestiary.recipe.choices import Average, Coverage, Risk, Sets
from bestiary.stats.averaging import average, softmax
from bestiary.stats.metrics import logit_log_losses

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

COVERAGES = tuple(map(float, get_args(Coverage)))
RISKS = tuple(map(float, get_args(Risk)))
JSON_LEVELS = {
    "prediction_sets": COVERAGES,
    "class_prediction_sets": COVERAGES,
    "accepted": RISKS,
}
"""Entry of ensemble.json -> the levels that are its keys."""

MAX_TEMPERATURE = 20  # the search covers temperatures of 1/20 to 20
NEVER = 2.0  # a threshold above every confidence
THRESHOLD_STEPS = 100
# Upper 95 % Poisson limit of two errors, rounded up from 6.296
TWO_ERRORS_LIMIT = 6.3


@dataclass(frozen=True, slots=True)
class Calibration:
    """What out-of-fold predictions say about a run's confidence.

    Attributes:
        temperature: divisor of the logits, above 0.
        prediction_sets: coverage -> largest 1 - probability of a class in the set, over all images.
        class_prediction_sets: coverage -> the same for each class (classes,); 1 where a class has
            too few images to say.
        accepted: risk -> least confidence of an accepted answer; 2 where no confidence is enough.
    """

    temperature: float
    prediction_sets: dict[float, float]
    class_prediction_sets: dict[float, list[float]]
    accepted: dict[float, float]

    @classmethod
    def fit(
        cls, logits: NDArray[np.floating], labels: Labels, groups: Labels | None = None
    ) -> Self:
        """Fit the calibration to out-of-fold predictions.

        Args:
            logits: (images, classes), each image's from the member that was not trained on it.
            labels: class numbers (images,).
            groups: group number of each image (images,), such as near duplicates, which are one
                piece of evidence for what is accepted; None: every image is its own group.

        Returns:
            The calibration.
        """
        temperature = fit_temperature(logits, labels)
        probabilities = softmax(logits.astype(np.float64) / temperature)

        # Limits of the nonconformity score, over all images and for each class
        images = np.arange(len(labels))
        scores = 1 - probabilities[images, labels]
        class_scores = [scores[labels == label] for label in range(logits.shape[1])]
        limits = {}
        class_limits = {}
        for coverage in COVERAGES:
            limits[coverage] = conformal_quantile(scores, coverage)
            class_limits[coverage] = [conformal_quantile(own, coverage) for own in class_scores]

        # Least confidence of an accepted answer
        confidence = probabilities.max(axis=1)
        hits = probabilities.argmax(axis=1) == labels
        accepted = {risk: accepted_threshold(confidence, hits, risk, groups) for risk in RISKS}
        return cls(
            temperature=temperature,
            prediction_sets=limits,
            class_prediction_sets=class_limits,
            accepted=accepted,
        )

    @classmethod
    def read(cls, card: dict[str, Any]) -> Self:
        """Read what `to_json` returns.

        Args:
            card: the entry ``calibration`` of ensemble.json.

        Returns:
            The calibration.

        Raises:
            KeyError, TypeError, ValueError: `to_json` did not write the entry.
        """
        for name, levels in JSON_LEVELS.items():
            entry = card[name]
            if not isinstance(entry, dict):
                raise ValueError(f"calibration.{name}")
            if {float(key) for key in entry} != set(levels):
                raise ValueError(f"calibration.{name}")

        # The search ends a little inside its edges.
        temperature = _bounded(card["temperature"], 1 / MAX_TEMPERATURE, MAX_TEMPERATURE)
        class_limits = {}
        for key, limits in card["class_prediction_sets"].items():
            class_limits[float(key)] = [_bounded(limit, 0, 1) for limit in limits]
        return cls(
            temperature=temperature,
            prediction_sets=_bounded_items(card["prediction_sets"], 1),
            class_prediction_sets=class_limits,
            accepted=_bounded_items(card["accepted"], NEVER),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what ensemble.json stores under ``calibration``."""
        return {
            "temperature": self.temperature,
            "prediction_sets": self.prediction_sets,
            "class_prediction_sets": self.class_prediction_sets,
            "accepted": self.accepted,
        }

    def probabilities(self, logits: NDArray[np.floating], rule: Average) -> Floats:
        """Compute the calibrated probabilities of an ensemble.

        Args:
            logits: (members, images, classes).
            rule: how the members are averaged.

        Returns:
            Probabilities (images, classes).
        """
        return average(logits / self.temperature, rule)

    def set_mask(
        self,
        probabilities: Floats,
        coverage: float,
        kind: Sets = "all",
    ) -> NDArray[np.bool_]:
        """Tell which classes are in each image's prediction set.

        Args:
            probabilities: calibrated, (images, classes).
            coverage: one of `COVERAGES`.
            kind: ``all`` covers that share of all images, ``class`` of the images of each class.

        Returns:
            Flags (images, classes); the most probable class is always in the set.
        """
        if kind == "all":
            limit = np.asarray(self.prediction_sets[coverage])
        else:
            limit = np.asarray(self.class_prediction_sets[coverage])
        return prediction_sets(probabilities, limit)


def fit_temperature(logits: NDArray[np.floating], labels: Labels) -> float:
    """Fit the temperature that minimizes log loss (Guo et al. 2017, arXiv:1706.04599).

    Args:
        logits: (images, classes).
        labels: class numbers (images,).

    Returns:
        The temperature, 1/20 to 20.
    """
    from scipy.optimize import (
        minimize_scalar,
    )  # here: it is slow to import, and only fitting needs it

    logits64 = logits.astype(np.float64)

    def log_loss(log_temperature: float) -> float:
        scaled = logits64 / math.exp(log_temperature)
        return float(logit_log_losses(scaled, labels).mean())

    edge = math.log(MAX_TEMPERATURE)
    fit = minimize_scalar(log_loss, bounds=(-edge, edge), method="bounded")
    return math.exp(fit.x)


def conformal_quantile(scores: Floats, coverage: float, most: float = 1.0) -> float:
    """Compute the limit that a new image's score does not exceed with probability `coverage`.

    Split conformal prediction takes the ceil((n + 1) coverage)-th smallest of n scores (Vovk et al.
    2005; Sadinle, Lei and Wasserman 2019, doi:10.1080/01621459.2017.1395341).

    Args:
        scores: of images that the network was not trained on (n,).
        coverage: least probability, 0 to 1.
        most: the result where n is too small.

    Returns:
        The limit.
    """
    n = len(scores)
    rank = math.ceil((n + 1) * coverage - 1e-9)  # rounding must not raise the rank
    if not 1 <= rank <= n:
        return most
    partitioned = np.partition(scores, rank - 1)
    return float(partitioned[rank - 1])


def prediction_sets(probabilities: Floats, limit: Floats) -> NDArray[np.bool_]:
    """Select the classes whose 1 - probability is at most `limit`, and the most probable one.

    Args:
        probabilities: (images, classes).
        limit: one number, or one for each class (classes,).

    Returns:
        Flags (images, classes).
    """
    inside = np.asarray(1 - probabilities <= limit + 1e-12)
    images = np.arange(len(inside))
    most_probable = probabilities.argmax(axis=1)
    inside[images, most_probable] = True
    return inside


def accepted_threshold(
    confidence: Floats,
    hits: NDArray[np.bool_],
    risk: float,
    groups: Labels | None = None,
) -> float:
    """Find the least confidence above which at most a share `risk` is wrong, with 95 % certainty.

    The search goes from the most confident image downwards, in 100 steps. It ends where the upper
    Clopper-Pearson limit of the share of errors exceeds `risk` (fixed sequence testing:
    Angelopoulos et al. 2021, arXiv:2110.01052; selective classification: Geifman and El-Yaniv 2017,
    arXiv:1705.08500). A group counts as one image: as many images as there are groups, with the
    share of errors of all.

    It starts where two errors are allowed, so that one wrong label among the most confident images
    does not end it. With too few groups for that, it starts where no error is allowed.

    Args:
        confidence: of the predicted class (images,).
        hits: whether the prediction is right (images,).
        risk: largest share of errors, above 0 and below 1.
        groups: group number of each image (images,); None: every image is its own group.

    Returns:
        The threshold, 0 to 1; 2 where no confidence is enough.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    errors = np.cumsum(~hits[order])
    n_groups = _distinct_so_far(order if groups is None else groups[order])
    most = int(n_groups[-1]) if len(n_groups) else 0

    # Least number of images with which no error, or two errors, keep the limit at `risk`
    min_without_error = least_images(risk)
    min_with_two_errors = math.ceil(TWO_ERRORS_LIMIT / risk)
    if most < min_without_error:
        return NEVER

    # Where to start, and how to go on, depends on the confidences alone: so the steps are tests in
    # a fixed sequence, and none of them needs a correction for the others.
    start = min_with_two_errors if min_with_two_errors <= most else min_without_error
    threshold = NEVER
    for size in np.unique(np.linspace(start, most, THRESHOLD_STEPS).astype(np.int64)):
        last = int(np.searchsorted(n_groups, size, side="right")) - 1  # all images of `size` groups
        last = int(np.searchsorted(-falling, -falling[last], side="right")) - 1  # and of ties
        wrong_groups = float(errors[last] / (last + 1) * n_groups[last])
        if upper_risk(wrong_groups, int(n_groups[last])) > risk:
            break
        threshold = float(falling[last])
    return threshold


def least_images(risk: float) -> int:
    """Count the images without an error that show, with 95 % certainty, at most a share of errors.

    Args:
        risk: largest share of errors, above 0 and below 1.

    Returns:
        The number of images.

    Example:
        >>> least_images(0.05), least_images(0.1)
        (59, 29)
    """
    return math.ceil(math.log(0.05) / math.log(1 - risk))


def _distinct_so_far(groups: Labels) -> Labels:
    """Count, at each image, the different groups up to it (images,)."""
    is_first = np.zeros(len(groups), np.int64)
    is_first[np.unique(groups, return_index=True)[1]] = 1
    return np.cumsum(is_first)


def upper_risk(n_wrong: float, n_answered: int) -> float:
    """Compute the upper 95 % Clopper-Pearson limit of the share of errors.

    Args:
        n_wrong: number of errors; need not be whole.
        n_answered: number of answers, above 0.

    Returns:
        The limit, 0 to 1.
    """
    if n_wrong == n_answered:
        return 1.0
    n_right = n_answered - n_wrong
    from scipy.stats import beta  # here: it is slow to import, and only fitting needs it

    return float(beta.ppf(0.95, n_wrong + 1, n_right))


def risk_coverage(
    confidence: Floats,
    hits: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """Compute the risk-coverage curve: answer the most confident images first.

    Args:
        confidence: of the predicted class (images,).
        hits: whether the prediction is right (images,).

    Returns:
        Share of images that are answered (images,), and share of errors among them (images,).
    """
    order = np.argsort(-confidence, kind="stable")
    n_wrong = np.cumsum(~hits[order])
    n_answered = np.arange(1, len(hits) + 1)
    coverage = n_answered / len(hits)
    risk = n_wrong / n_answered
    return coverage, risk


def set_names(
    inside: NDArray[np.bool_],
    probabilities: Floats,
    classes: Sequence[str],
) -> list[list[str]]:
    """Name the classes of each prediction set.

    Args:
        inside: which classes are in each set (images, classes).
        probabilities: (images, classes).
        classes: class names (classes,).

    Returns:
        Names for each image, most probable first.
    """
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    names = []
    for ranking, mask in zip(ranked, inside, strict=True):
        names.append([str(classes[c]) for c in ranking if mask[c]])
    return names


def _bounded_items(entry: dict[str, Any], most: float) -> dict[float, float]:
    return {float(key): _bounded(value, 0, most) for key, value in entry.items()}


def _bounded(value: Any, least: float, most: float) -> float:
    """Return a number from a file; ValueError where it is none or outside of its bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"calibration: {value!r:.40} is no number")
    if not least <= value <= most:  # nan included
        raise ValueError(f"calibration: {value!r:.40} is not from {least:g} to {most:g}")
    return float(value)
