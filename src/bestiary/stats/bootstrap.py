"""Images in groups -> 95 % intervals of every score, by drawing whole groups anew.

A group (copies of one image, frames of one burst) is drawn or left as a whole, so that copies do
not make an interval narrow (cluster bootstrap: Davison and Hinkley 1997, section 3.8). All
replicates are computed at once, as products of one matrix of draws. Knows nothing of runs or
networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bestiary.rng import keyed_rng
from bestiary.stats import metrics
from bestiary.stats.intervals import Z95, wilson

REPLICATES = 1000
PRIOR_GROUPS = 5  # groups with a miss that the belief in alike groups weighs as much as
SHARES = (
    "top1",
    "top5",
    "balanced_accuracy",
    "macro_f1",
)  # 0 to 1, so Wilson's interval suits them
MEANS = ("log_loss", "brier")  # above 0 and skewed


@dataclass(frozen=True, slots=True)
class ScoreInterval:
    """A score with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def score_intervals(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, ScoreInterval]:
    """Every score of a prediction with its interval.

    Args:
        probabilities: (images, classes), one image at least.
        labels: class numbers (images,).
        groups: group number of each image (images,).
        seed: of the draws.
        replicates: how many.

    Returns:
        top1, top5, balanced_accuracy, macro_f1, log_loss, brier, ece.
    """
    order = np.argsort(
        probabilities.max(axis=1), kind="stable"
    )  # ECE wants rising confidence, the others any order
    probabilities, labels = probabilities[order], labels[order]
    _, groups = np.unique(groups[order], return_inverse=True)
    count = int(groups.max()) + 1
    drawn = keyed_rng(seed, "bootstrap", replicates).integers(count, size=(replicates, count))
    rows = np.arange(replicates)[:, None] * count
    times = np.bincount((drawn + rows).ravel(), minlength=replicates * count).reshape(
        replicates, count
    )
    weights = np.vstack([np.ones(count), times]).astype(
        np.float32
    )  # the first row is the images as they are
    scores = _mean_scores(probabilities, labels, groups, weights) | _class_scores(
        probabilities, labels, groups, weights
    )
    kish = len(labels) ** 2 / float((np.bincount(groups) ** 2).sum())
    found = {
        name: _share_interval(scores[name], kish, _rarer(groups, probabilities, labels, name))
        for name in SHARES
    }
    found |= {name: _mean_interval(scores[name]) for name in MEANS}
    return found | {
        "ece": _ece_interval(probabilities, labels, np.take(weights, groups, axis=1), kish)
    }


def _mean_scores(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> dict[str, NDArray[np.float64]]:
    columns = {
        "top1": metrics.top_k_hits(probabilities, labels, 1),
        "top5": metrics.top_k_hits(probabilities, labels, 5),
        "log_loss": metrics.log_losses(probabilities, labels),
        "brier": metrics.brier_scores(probabilities, labels),
    }
    sums = np.stack(
        [np.bincount(groups, column) for column in (np.ones(len(labels)), *columns.values())],
        axis=1,
    )
    drawn = weights.astype(np.float64) @ sums
    return {name: drawn[:, n] / drawn[:, 0] for n, name in enumerate(columns, 1)}


def _class_scores(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> dict[str, NDArray[np.float64]]:
    classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)

    def drawn(rows: NDArray[np.bool_], of: NDArray[np.int64]) -> NDArray[np.float64]:
        """Images of each class among `rows` in each draw (replicates, classes)."""
        cells = groups[rows] * classes + of[rows]
        counts = np.bincount(cells, minlength=weights.shape[1] * classes).reshape(-1, classes)
        return np.asarray(weights @ counts.astype(np.float32), np.float64)

    everything = np.ones(len(labels), np.bool_)
    hits, support = drawn(predicted == labels, labels), drawn(everything, labels)
    return {
        "balanced_accuracy": metrics.balanced_accuracy(hits, support),
        "macro_f1": metrics.macro_f1(hits, support, drawn(everything, predicted)),
    }


def _rarer(
    groups: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    name: str,
) -> int:
    """Number of groups with a miss, or with a hit where these are fewer: what a share's spread
    is known from.
    """
    hits = metrics.top_k_hits(probabilities, labels, 5 if name == "top5" else 1)
    return min(len(np.unique(groups[hits])), len(np.unique(groups[~hits])))


def _share_interval(scores: NDArray[np.float64], kish: float, rarer: int) -> ScoreInterval:
    """Wilson's interval at the number of independent images that the spread of the replicates
    speaks of.

    Where few groups hold a miss the replicates know their own spread badly; then they are believed
    less, and more that the images of a group are all alike, which leaves `kish` independent ones
    (Kish 1965).
    """
    value = float(scores[0])
    if not 0 < value < 1:
        return ScoreInterval(value, *wilson(value, kish))
    weight = rarer / (rarer + PRIOR_GROUPS)
    variance = weight * float(scores[1:].var()) + (1 - weight) * value * (1 - value) / kish
    return ScoreInterval(value, *wilson(value, value * (1 - value) / variance))


def _mean_interval(scores: NDArray[np.float64]) -> ScoreInterval:
    """The normal interval of the score's logarithm: the interval stays above 0, and is skewed as
    the scores are.
    """
    value = float(scores[0])
    if value <= 0:
        return ScoreInterval(value, value, value)
    spread = float(np.log(np.maximum(scores[1:], metrics.LEAST)).std())
    return ScoreInterval(value, value * np.exp(-Z95 * spread), value * np.exp(Z95 * spread))


def _ece_interval(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float32],
    kish: float,
) -> ScoreInterval:
    """ECE of images in rising confidence.

    A finite sample makes ECE too large, and a replicate, a sample of a sample, again by about as
    much: the replicates are shifted down by twice what they exceed the value on average. Where the
    bins' gaps are no larger than chance makes them in a calibrated network (chi-squared test at 5
    %), the interval begins at 0.
    """
    hits, confidence = metrics.top_k_hits(probabilities, labels, 1), probabilities.max(axis=1)
    value = metrics.reliability(confidence, hits).ece
    totals = weights.cumsum(axis=1, dtype=np.float64)
    bins = min(metrics.BINS, len(labels))
    place = ((totals - weights / 2) / totals[:, -1:] * bins).astype(np.int64).clip(0, bins - 1)
    cells = (np.arange(len(weights))[:, None] * bins + place).ravel()
    gaps = np.bincount(cells, (weights * (confidence - hits)).ravel(), len(weights) * bins).reshape(
        -1, bins
    )
    gaps = gaps / totals[:, -1:]
    scores = np.abs(gaps[1:]).sum(axis=1)
    low, high = np.quantile(np.maximum(scores - 2 * (scores.mean() - value), 0), (0.025, 0.975))
    # A bin without a miss has no spread among replicates, but would have some if it were
    # calibrated.
    doubt = np.bincount(place[0], confidence * (1 - confidence), bins) / (len(labels) * kish)
    variance = np.maximum(gaps[1:].var(axis=0), doubt)
    real = variance > 0
    if float((gaps[0][real] ** 2 / variance[real]).sum()) < chi2.ppf(0.95, int(real.sum())):
        low = 0.0
    return ScoreInterval(value, float(low), float(high))
