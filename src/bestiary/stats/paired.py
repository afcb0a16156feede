"""TODO stats.paired"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student

from bestiary.stats.intervals import Z95

Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second of two runs gets right more than the first.

    Attributes:
        value: difference of accuracies, -1 to 1.
        low: lower end of the 95 % interval.
        high: upper end.
        wins: images that only the second has right.
        losses: images that only the first has right.
        p: two-sided exact McNemar test, groups counted once; over several seeds a t-test.
    """

    value: float
    low: float
    high: float
    wins: int
    losses: int
    p: float


def paired_difference(first: Hits, second: Hits, groups: NDArray[np.int64]) -> Difference:
    """The difference of two shares of hits on the same images.

    Interval: Bonett and Price 2012 (doi:10.3102/1076998611411915), which holds for few changed
    images too, at the effective number of images. Test: exact McNemar (1947,
    doi:10.1007/BF02295996) on the groups' net changes.

    Args:
        first: whether each image was right (images,), one at least.
        second: likewise.
        groups: group number of each image (images,).
    """
    change = second.astype(np.int64) - first
    n, wins, losses = len(change), int((change > 0).sum()), int((change < 0).sum())
    _, codes = np.unique(groups, return_inverse=True)
    net = np.bincount(codes, change)
    alone = float(((change - change.mean()) ** 2).sum())
    together = float((np.bincount(codes, change - change.mean()) ** 2).sum())
    size = n / max(1.0, together / alone) if alone else float(len(net))
    more, less = (wins / n * size + 1) / (size + 2), (losses / n * size + 1) / (size + 2)
    half = Z95 * sqrt((more + less - (more - less) ** 2) / (size + 2))
    better, worse = int((net > 0).sum()), int((net < 0).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    middle = more - less
    return Difference(
        float(change.mean()), max(-1.0, middle - half), min(1.0, middle + half), wins, losses, p
    )


def paired_over_seeds(first: Hits, second: Hits, groups: NDArray[np.int64]) -> Difference:
    """The difference of two shares of hits on the same images, each the mean over trainings with
    several seeds.

    Both images and seeds are drawn from larger sets, so both spread: the variance is the sum of the
    groups' (of changes averaged over the seeds) and of the seeds' (of changes averaged over the
    images), which errs on the safe side (Owen 2007, doi:10.1214/07-AOAS122). Student's t at
    Satterthwaite's degrees of freedom (1946, doi:10.2307/3002019). As for one seed, an image that
    is won and one that is lost are added (Bonett and Price 2012).

    Args:
        first: whether each image was right (seeds, images); with one seed see `paired_difference`.
        second: likewise.
        groups: group number of each image (images,).
    """
    if len(first) == 1:
        return paired_difference(first[0], second[0], groups)
    change = second.astype(np.int64) - first
    seeds = len(change)
    _, codes = np.unique(groups, return_inverse=True)
    each = np.append(change.mean(axis=0), [1.0, -1.0])
    codes = np.append(codes, [codes.max() + 1, codes.max() + 2])
    middle, clusters = float(each.mean()), int(codes.max()) + 1
    by_group = (
        clusters
        / (clusters - 1)
        * float((np.bincount(codes, each - middle) ** 2).sum())
        / len(each) ** 2
    )
    by_seed = float(change.mean(axis=1).var(ddof=1)) / seeds
    error = sqrt(by_group + by_seed)
    freedom = (by_group + by_seed) ** 2 / (by_group**2 / (clusters - 1) + by_seed**2 / (seeds - 1))
    half = float(student.ppf(0.975, freedom)) * error
    p = float(2 * student.sf(abs(middle) / error, freedom))
    wins, losses = int((change > 0).sum()), int((change < 0).sum())
    return Difference(
        float(change.mean()), max(-1.0, middle - half), min(1.0, middle + half), wins, losses, p
    )
