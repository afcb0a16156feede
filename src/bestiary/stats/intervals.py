"""Hits and groups -> a share with its 95 % interval.

Wilson's score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953), which stays honest near 0
and 1, at the effective number of images: copies of one image are one piece of evidence, so groups
widen it by their design effect (Kish 1965; Rao and Scott 1992, doi:10.2307/2532311).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % interval.

    Attributes:
        value: 0 to 1.
        low: lower end.
        high: upper end.
        n: number of images.
        groups: number of groups they fall into.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def share_interval(hits: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> Interval:
    """The share of hits with its 95 % interval.

    Args:
        hits: whether each image was right, (images,), one at least.
        groups: group number of each image; None where each stands alone.

    Raises:
        ValueError: no image.
    """
    n = len(hits)
    if n == 0:
        raise ValueError("a share of no images has no value")
    value = float(hits.mean())
    clusters = n if groups is None else len(np.unique(groups))
    low, high = wilson(value, effective_size(hits, groups))
    return Interval(value, low, high, n, clusters)


def effective_size(hits: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> float:
    """How many independent images would leave the share of hits as uncertain as these groups do."""
    value = float(hits.mean())
    clusters = len(hits) if groups is None else len(np.unique(groups))
    if groups is None or clusters == len(hits):
        return float(len(hits))
    if value in (0.0, 1.0) or clusters == 1:
        return float(clusters)  # no spread to estimate from: every group counts once
    _, codes = np.unique(groups, return_inverse=True)
    residuals = np.bincount(codes, hits - value)  # of each group, summed
    variance = clusters / (clusters - 1) * float((residuals**2).sum()) / len(hits) ** 2
    # More than n cannot be claimed: groups may look tamer than chance by chance.
    return (
        min(float(len(hits)), value * (1 - value) / variance) if variance > 0 else float(clusters)
    )


def wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share `value` (0 to 1) of `n` images, which need not be whole."""
    center = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n * n))
    # At 0 and 1 one end is exact, which rounding must not hide.
    return (max(0.0, center - half) if value > 0 else 0.0), (
        min(1.0, center + half) if value < 1 else 1.0
    )
