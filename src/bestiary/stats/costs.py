"""Probabilities and the costs of mistakes -> the answers that are expected to cost least.

Costs say what accuracy cannot: a missed lynx may be worse than ten deer taken for lynxes. The
answer with the least expected cost is Bayes' rule (Elkan 2001, The foundations of cost-sensitive
learning, IJCAI). It needs probabilities that are calibrated. Pure functions of arrays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.intervals import Z95, Interval, cluster_variance

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def decide(probabilities: Floats, costs: Floats) -> tuple[Integers, Floats]:
    """Choose the answer of least expected cost for each image; the likelier one of equal ones.

    Args:
        probabilities: calibrated (images, classes).
        costs: of each answer where a class is true, (true classes, answers), 0 or more.

    Returns:
        Class numbers (images,), and the cost that is expected of them (images,).

    Example:
        >>> lynx_is_dear = np.array([[0.0, 20.0], [1.0, 0.0]])  # lynx, deer
        >>> answers, expected = decide(np.array([[0.1, 0.9]]), lynx_is_dear)
        >>> answers.tolist(), expected.round(2).tolist()
        ([0], [0.9])
    """
    expected = probabilities @ costs
    least = expected.min(axis=1, keepdims=True)
    is_least = expected <= least + 1e-12
    answers = np.where(is_least, probabilities, -1.0).argmax(axis=1)
    return answers, least[:, 0]


def balanced_costs(shares: Floats) -> Floats:
    """Make the costs whose least expected cost is the highest balanced accuracy.

    A mistake costs the inverse of the class's share, as in logit adjustment after training (Menon
    et al. 2021, arXiv:2007.07314). The mean cost of a wrong answer is then 1.

    Args:
        shares: of each class among the images (classes,), summing to 1. A class without images
            counts as the rarest one that has some.

    Returns:
        Costs (true classes, answers).

    Example:
        >>> balanced_costs(np.array([0.8, 0.2])).tolist()
        [[0.0, 0.625], [2.5, 0.0]]
    """
    positive = np.maximum(shares, shares[shares > 0].min())
    by_class = 1 / (len(shares) * positive)
    costs = np.repeat(by_class[:, None], len(shares), axis=1)
    np.fill_diagonal(costs, 0.0)
    return costs


@dataclass(frozen=True, slots=True)
class CostComparison:
    """What the answers of least expected cost save, on images whose class is known.

    Attributes:
        usual: mean cost of an image, where the likeliest class is the answer.
        least: mean cost of an image, where the answer is that of least expected cost.
        saved: the first less the second, with its 95 % interval.
        changed: images with another answer.
        images: number of images.
    """

    usual: float
    least: float
    saved: Interval
    changed: int
    images: int


def compare_costs(
    probabilities: Floats, labels: Integers, groups: Integers, costs: Floats
) -> CostComparison:
    """Compare the answers of least expected cost with the likeliest classes.

    Args:
        probabilities: (images, classes), calibrated on other images.
        labels: class numbers (images,).
        groups: group number of each image (images,).
        costs: (true classes, answers).

    Returns:
        Both mean costs and their paired difference; a group counts once.
    """
    likeliest = probabilities.argmax(axis=1)
    answers, _ = decide(probabilities, costs)
    usual = costs[labels, likeliest]
    least = costs[labels, answers]
    saved = usual - least
    mean = float(saved.mean())
    _, codes = np.unique(groups, return_inverse=True)
    half_width = Z95 * float(np.sqrt(cluster_variance(saved - mean, codes)))
    return CostComparison(
        usual=float(usual.mean()),
        least=float(least.mean()),
        saved=Interval(mean, mean - half_width, mean + half_width),
        changed=int((answers != likeliest).sum()),
        images=len(labels),
    )
