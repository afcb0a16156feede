"""Paired differences, of one seed and of several: values, McNemar's test, width and coverage."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from bestiary.stats.paired import paired_difference, paired_over_seeds


def test_paired_difference_is_mcnemar() -> None:
    first = np.array([1, 1, 0, 0, 0, 1, 1, 0], bool)
    second = np.array([1, 0, 1, 1, 1, 1, 1, 0], bool)
    difference = paired_difference(first, second, np.arange(8))
    assert (difference.wins, difference.losses, difference.value) == (3, 1, 0.25)
    assert difference.p == pytest.approx(binomtest(1, 4).pvalue)
    assert difference.low < 0.25 < difference.high


def test_paired_difference_coverage_and_level() -> None:
    rng = np.random.default_rng(0)
    truth = _accuracy(0.15) - _accuracy(0.2)
    n_covered = 0
    n_rejected = 0
    for _ in range(400):
        difficulty = rng.random(300)
        first, second, same = (
            difficulty + rng.normal(0, 0.15, 300) > limit for limit in (0.2, 0.15, 0.2)
        )
        difference = paired_difference(first, second, np.arange(300))
        n_covered += difference.low <= truth <= difference.high
        n_rejected += paired_difference(first, same, np.arange(300)).p < 0.05
    assert 370 <= n_covered <= 395
    assert n_rejected <= 25  # an exact test is conservative


def _accuracy(limit: float) -> float:
    difficulty = np.random.default_rng(1).random(2_000_000)
    noise = np.random.default_rng(2).normal(0, 0.15, 2_000_000)
    return float((difficulty + noise > limit).mean())


def test_paired_difference_with_copies() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 200)) > 0.3
    single = paired_difference(first, second, np.arange(200))
    copies = [np.repeat(array, 5) for array in (first, second, np.arange(200))]
    grouped = paired_difference(*copies)
    assert grouped.p == pytest.approx(single.p)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.02)


def test_paired_difference_of_equal_hits() -> None:
    hits = np.arange(50) % 2 == 0
    difference = paired_difference(hits, hits, np.arange(50))
    assert (difference.value, difference.p, difference.wins) == (0.0, 1.0, 0)
    assert difference.low < 0 < difference.high


def test_paired_over_seeds_widens_with_spread() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.random(400)
    groups = np.arange(400)

    def hits(level: float, seed_spread: float) -> np.ndarray:
        levels = level + seed_spread * rng.normal(size=(4, 1))
        return difficulty + rng.normal(0, 0.2, (4, 400)) > levels

    calm = paired_over_seeds(hits(0.3, 0.0), hits(0.25, 0.0), groups)
    wild = paired_over_seeds(hits(0.3, 0.08), hits(0.25, 0.08), groups)
    assert wild.high - wild.low > 1.5 * (calm.high - calm.low)

    # One seed: the interval of a paired difference.
    first = hits(0.3, 0.0)[:1]
    second = hits(0.2, 0.0)[:1]
    expected = paired_difference(first[0], second[0], groups)
    assert paired_over_seeds(first, second, groups) == expected


def test_paired_over_seeds_is_a_t_test_of_images() -> None:
    """Where only images vary, and not seeds."""
    rng = np.random.default_rng(1)
    first = rng.random((3, 2000)) > 0.3
    second = rng.random((3, 2000)) > 0.28
    difference = paired_over_seeds(first, second, np.arange(2000))
    reference = ttest_rel(second.mean(axis=0), first.mean(axis=0))
    low, high = reference.confidence_interval(0.95)
    # It is never narrower.
    assert difference.low <= low + 1e-3
    assert difference.high >= high - 1e-3
    assert difference.value == pytest.approx(second.mean() - first.mean())


def test_paired_over_seeds_coverage() -> None:
    rng = np.random.default_rng(2)
    n_covered = 0
    for _ in range(300):
        difficulty = rng.random(200)
        levels = rng.normal(0, 0.03, (2, 3, 1))
        first, second = (
            difficulty + rng.normal(0, 0.2, (3, 200)) > 0.25 + level for level in levels
        )
        difference = paired_over_seeds(first, second, np.arange(200))
        n_covered += difference.low <= 0 <= difference.high
    assert n_covered >= 280
