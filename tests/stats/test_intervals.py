"""Wilson's interval of a share, against SciPy and in simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from bestiary.stats.intervals import share_interval


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 30), (27, 30), (940, 1000)])
def test_share_interval_is_wilson_score(right: int, n: int) -> None:
    ours = share_interval(np.arange(n) < right)
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (ours.value, ours.n, ours.groups) == (right / n, n, n)


def test_share_interval_with_copies() -> None:
    hits = np.random.default_rng(0).random(200) < 0.9
    once = share_interval(hits)
    copies = share_interval(np.repeat(hits, 10), np.repeat(np.arange(200), 10))
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high), abs=2e-3)
    assert (copies.n, copies.groups) == (2000, 200)


def test_effective_size_of_all_right_groups() -> None:
    grouped = share_interval(np.ones(100, bool), np.arange(100) // 10)
    assert grouped.low == pytest.approx(share_interval(np.ones(10, bool)).low)


def test_share_interval_refuses_no_images() -> None:
    with pytest.raises(ValueError, match="no images"):
        share_interval(np.zeros(0, bool))


def test_share_interval_coverage_with_groups() -> None:
    """A group is easy or hard, and its images are right or wrong together; the mean is 0.863."""
    rng = np.random.default_rng(1)
    is_covered = []
    for _ in range(1000):
        sizes = rng.integers(1, 6, size=120)
        chance = np.where(rng.random(120) < 0.85, 0.98, 0.2)
        groups = np.repeat(np.arange(120), sizes)
        interval = share_interval(rng.random(len(groups)) < chance[groups], groups)
        is_covered.append(interval.low <= 0.863 <= interval.high)
    assert 0.93 <= np.mean(is_covered) <= 0.975
