"""Hits of two models on the same images -> their paired difference, 95 % interval and p-value.

Images that are hard for both cancel out. Images in groups count by their effective number. Knows
nothing of runs or networks.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student_t

from bestiary.stats.intervals import Z95, cluster_variance

Hits = NDArray[np.bool_]
Codes = NDArray[np.int64]  # group of each image, 0 to groups - 1


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more often the second of two models is right than the first.

    Attributes:
        value: difference of accuracies, -1 to 1.
        low: lower end of the 95 % interval.
        high: upper end.
        wins: images that only the second has right.
        losses: images that only the first has right.
        p: two-sided p-value; exact McNemar test in which groups count once, or a t-test over
            several seeds.
    """

    value: float
    low: float
    high: float
    wins: int
    losses: int
    p: float


def paired_difference(first: Hits, second: Hits, groups: NDArray[np.int64]) -> Difference:
    """Compare two models by their hits on the same images.

    The interval is that of Bonett and Price 2012 (doi:10.3102/1076998611411915), which also holds
    for few changed images, at the effective number of images. The test is the exact one of McNemar
    (1947, doi:10.1007/BF02295996) on the groups' net changes.

    Args:
        first: whether the first model has each image right (images,), at least one image.
        second: the same for the second model.
        groups: group number of each image (images,).

    Returns:
        The difference, second minus first.
    """
    change = second.astype(np.int64) - first
    _, codes = np.unique(groups, return_inverse=True)
    effective = _effective_changes(change, codes)
    center, half_width = _bonett_price(change, effective)
    p = _mcnemar(change, codes)
    return _difference(change, center, half_width, p)


def paired_over_seeds(first: Hits, second: Hits, groups: NDArray[np.int64]) -> Difference:
    """Compare two training recipes by their hits on the same images, over several seeds.

    Images and seeds are both samples of larger populations. The variance is the sum of two: that
    of the groups (changes averaged over seeds) and that of the seeds (changes averaged over
    images). This sum is conservative (Owen 2007, doi:10.1214/07-AOAS122). Student's t has
    Satterthwaite's degrees of freedom (1946, doi:10.2307/3002019). As for one seed, one win and one
    loss are added (Bonett and Price 2012).

    Args:
        first: whether each image is right (seeds, images); one seed goes to `paired_difference`.
        second: the same for the second recipe.
        groups: group number of each image (images,).

    Returns:
        The mean difference, second minus first.
    """
    if len(first) == 1:
        return paired_difference(first[0], second[0], groups)
    change = second.astype(np.int64) - first
    n_seeds = len(change)

    # Variance over groups and over seeds
    _, codes = np.unique(groups, return_inverse=True)
    center, group_variance, n_groups = _smoothed_mean(change.mean(axis=0), codes)
    seed_changes = change.mean(axis=1)
    seed_variance = float(seed_changes.var(ddof=1)) / n_seeds
    standard_error = sqrt(group_variance + seed_variance)

    # Student's t
    degrees_of_freedom = _satterthwaite(
        group_variance,
        n_groups - 1,
        seed_variance,
        n_seeds - 1,
    )
    quantile = float(student_t.ppf(0.975, degrees_of_freedom))
    half_width = quantile * standard_error
    t = abs(center) / standard_error
    p = float(2 * student_t.sf(t, degrees_of_freedom))
    return _difference(change, center, half_width, p)


def _difference(
    change: NDArray[np.int64],
    center: float,
    half_width: float,
    p: float,
) -> Difference:
    """Describe the changes, 1 for a win and -1 for a loss, with their interval and p-value."""
    is_win = change > 0
    is_loss = change < 0
    return Difference(
        value=float(change.mean()),
        low=max(-1.0, center - half_width),
        high=min(1.0, center + half_width),
        wins=int(is_win.sum()),
        losses=int(is_loss.sum()),
        p=p,
    )


def _bonett_price(change: NDArray[np.int64], effective: float) -> tuple[float, float]:
    """Compute center and half width of the interval, with one win and one loss added."""
    n = len(change)
    is_win = change > 0
    is_loss = change < 0
    wins = int(is_win.sum())
    losses = int(is_loss.sum())

    win_rate = (wins / n * effective + 1) / (effective + 2)
    loss_rate = (losses / n * effective + 1) / (effective + 2)

    center = win_rate - loss_rate
    variance = (win_rate + loss_rate - center**2) / (effective + 2)
    half_width = Z95 * sqrt(variance)
    return center, half_width


def _smoothed_mean(changes: NDArray[np.float64], codes: Codes) -> tuple[float, float, int]:
    """Compute the mean change, its variance and the number of groups.

    One win and one loss are added, as groups of their own.
    """
    changes = np.append(changes, [1.0, -1.0])
    codes = np.append(codes, [codes.max() + 1, codes.max() + 2])
    center = float(changes.mean())
    variance = cluster_variance(changes - center, codes)
    return center, variance, int(codes.max()) + 1


def _satterthwaite(
    first_variance: float,
    first_freedom: int,
    second_variance: float,
    second_freedom: int,
) -> float:
    """Compute the degrees of freedom of the sum of two variances."""
    variance = first_variance + second_variance
    first_part = first_variance**2 / first_freedom
    second_part = second_variance**2 / second_freedom
    return variance**2 / (first_part + second_part)


def _effective_changes(change: NDArray[np.int64], codes: Codes) -> float:
    """Compute how many independent images give the mean change the variance of these groups."""
    residuals = change - change.mean()
    single = float((residuals**2).sum())
    if not single:
        return float(codes.max()) + 1.0  # no variance to estimate: every group counts once
    group_sums = np.bincount(codes, residuals)
    clustered = float((group_sums**2).sum())
    design_effect = max(1.0, clustered / single)
    return len(change) / design_effect


def _mcnemar(change: NDArray[np.int64], codes: Codes) -> float:
    """Compute the p-value of the exact McNemar test on the groups' net changes."""
    net_changes = np.bincount(codes, change)
    is_better = net_changes > 0
    is_worse = net_changes < 0
    n_better = int(is_better.sum())
    n_worse = int(is_worse.sum())
    n_changed = n_better + n_worse
    if n_changed == 0:
        return 1.0
    return float(binomtest(n_better, n_changed).pvalue)
