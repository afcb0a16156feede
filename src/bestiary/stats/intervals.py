"""Hits in groups -> a share with its 95 % confidence interval by Wilson's score method.

Wilson's interval (Wilson 1927, doi:10.1080/01621459.1927.10502953) stays valid near 0 and 1. It is
computed at the effective number of images. Copies of one image are one piece of evidence, so groups
widen the interval by their design effect (Kish 1965; Rao and Scott 1992, doi:10.2307/2532311).
Knows nothing of scores other than shares, of runs or networks.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval.

    Attributes:
        value: the number itself.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, slots=True)
class ShareInterval(Interval):
    """A share of hits (0 to 1) with its 95 % Wilson interval.

    Attributes:
        n: number of images.
        groups: number of groups of these images.
    """

    n: int
    groups: int


def share_interval(
    hits: NDArray[np.bool_],
    groups: NDArray[np.int64] | None = None,
) -> ShareInterval:
    """Compute the share of hits with its 95 % Wilson interval.

    Args:
        hits: whether each image is right (images,), at least one image.
        groups: group number of each image (images,); None: every image is its own group.

    Returns:
        The share, its interval, and the numbers of images and groups.

    Raises:
        ValueError: there is no image.
    """
    n = len(hits)
    if n == 0:
        raise ValueError("a share of no images has no value")
    value = float(hits.mean())
    low, high = wilson_interval(value, effective_size(hits, groups))
    return ShareInterval(
        value=value,
        low=low,
        high=high,
        n=n,
        groups=_count_groups(n, groups),
    )


def effective_size(
    hits: NDArray[np.bool_],
    groups: NDArray[np.int64] | None = None,
) -> float:
    """Compute how many independent images are as much evidence as these groups.

    Args:
        hits: whether each image is right (images,), at least one image.
        groups: group number of each image (images,); None: every image is its own group.

    Returns:
        The effective number of images, at most their number.
    """
    n = len(hits)
    value = float(hits.mean())
    n_groups = _count_groups(n, groups)
    if groups is None or n_groups == n:
        return float(n)
    if value in (0.0, 1.0) or n_groups == 1:
        return float(n_groups)  # there is no variance to estimate: every group counts once

    # Variance of the share from the groups' summed residuals
    _, codes = np.unique(groups, return_inverse=True)
    variance = cluster_variance(hits - value, codes)
    if variance <= 0:
        return float(n_groups)

    # By chance, groups may vary less than single images would: n is the upper limit.
    effective = value * (1 - value) / variance
    return min(float(n), effective)


def cluster_variance(residuals: NDArray[np.floating], codes: NDArray[np.int64]) -> float:
    """Compute the variance of a mean from the groups' summed residuals.

    Args:
        residuals: each value less the mean (images,).
        codes: group of each value (images,), 0 to groups - 1.

    Returns:
        The variance; 0 for a single group, whose residuals sum to 0.
    """
    group_sums = np.bincount(codes, residuals)
    n_groups = len(group_sums)
    sum_of_squares = float((group_sums**2).sum())
    return n_groups / max(1, n_groups - 1) * sum_of_squares / len(residuals) ** 2


def wilson_interval(value: float, n: float) -> tuple[float, float]:
    """Compute Wilson's 95 % score interval of a share.

    Args:
        value: the share, 0 to 1.
        n: number of independent images; need not be whole.

    Returns:
        Lower and upper end, 0 to 1.
    """
    z_squared = Z95**2
    scale = 1 + z_squared / n
    center = (value + z_squared / (2 * n)) / scale
    standard_error = math.sqrt(value * (1 - value) / n + z_squared / (4 * n * n))
    half_width = Z95 / scale * standard_error

    # At 0 and 1 one end is exact. Rounding must not hide that.
    low = max(0.0, center - half_width) if value > 0 else 0.0
    high = min(1.0, center + half_width) if value < 1 else 1.0
    return low, high


def _count_groups(n: int, groups: NDArray[np.int64] | None) -> int:
    if groups is None:
        return n
    return len(np.unique(groups))
