"""Scores of images of known and of left-out classes -> how well each tells what is unknown.

Knows nothing of how classes are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bestiary.stats.ood import KNOWN_SHARE, OodScore, score_weights

SCORES: tuple[OodScore, ...] = ("energy", "distance", "both")
MIN_GAIN = 0.01  # of the mean AUROC: with less, energy stays


@dataclass(frozen=True, slots=True)
class LeftOutSet:
    """What each score makes of images of classes that were left out of training.

    Attributes:
        classes: class numbers that were left out together.
        images: images of these classes.
        auroc: how often one of them scores higher than a known image, by score.
        caught: share of them above the limit that `KNOWN_SHARE` of the known images keep, by score.
    """

    classes: list[int]
    images: int
    auroc: dict[OodScore, float]
    caught: dict[OodScore, float]


def judge_set(
    classes: list[int], known: NDArray[np.float64], unknown: NDArray[np.float64]
) -> LeftOutSet:
    """Judge the scores on one set of left-out classes.

    Args:
        classes: class numbers that were left out.
        known: energy and distance of known images (known, 2).
        unknown: energy and distance of images of the classes left out (unknown, 2).

    Example:
        >>> known = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
        >>> judge_set([3], known, known + [5, 0]).auroc["energy"]
        1.0
    """
    auroc: dict[OodScore, float] = {}
    caught: dict[OodScore, float] = {}
    for name, weights in score_weights(known).items():
        known_scores = known @ weights
        unknown_scores = unknown @ weights
        ranks = rankdata(np.concatenate([unknown_scores, known_scores]))[: len(unknown)]
        wins = ranks.sum() - len(unknown) * (len(unknown) + 1) / 2
        auroc[name] = float(wins / (len(unknown) * len(known)))
        limit = np.quantile(known_scores, KNOWN_SHARE, method="higher")
        caught[name] = float((unknown_scores > limit).mean())
    return LeftOutSet(classes, len(unknown), auroc, caught)


def better_score(sets: list[LeftOutSet]) -> OodScore:
    """Choose the score with the highest mean AUROC; energy, if no other gains `MIN_GAIN`.

    Args:
        sets: at least one.
    """
    means = {name: np.mean([one.auroc[name] for one in sets]) for name in SCORES}
    best = max(SCORES, key=lambda name: means[name])
    return best if means[best] >= means["energy"] + MIN_GAIN else "energy"


def honest_rates(sets: list[LeftOutSet]) -> tuple[float, float]:
    """Average AUROC and share caught, each set by the score that the other sets choose.

    So the choice does not flatter itself.

    Args:
        sets: at least two.
    """
    pairs = []
    for index, one in enumerate(sets):
        score = better_score(sets[:index] + sets[index + 1 :])
        pairs.append((one.auroc[score], one.caught[score]))
    auroc, caught = np.mean(pairs, axis=0)
    return float(auroc), float(caught)
