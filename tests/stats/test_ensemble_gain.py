"""The expected accuracy of the ensemble, and the optimism of picking the best epoch."""

import numpy as np
import pytest

from bestiary.stats.ensemble_gain import ensemble_estimate, pick_optimism


def test_ensemble_estimate_exceeds_members() -> None:
    hits = np.arange(1000) % 20 != 0  # 0.95
    estimate = ensemble_estimate(hits, np.arange(1000), 5)
    assert estimate.value == pytest.approx(1 - 0.87 * 0.05)
    assert estimate.low < 0.95 < 1 - 0.7 * 0.05 < estimate.high
    assert "0.87" in estimate.method


def test_ensemble_gain_grows_with_members() -> None:
    hits = np.arange(1000) % 20 != 0
    values = [ensemble_estimate(hits, np.arange(1000), members).value for members in (1, 2, 5, 10)]
    assert values[0] == pytest.approx(0.95)
    assert values == sorted(values)


def test_ensemble_estimate_with_copies() -> None:
    hits = np.arange(1000) % 20 != 0
    single = ensemble_estimate(hits, np.arange(1000), 5)
    copied = ensemble_estimate(np.repeat(hits, 3), np.repeat(np.arange(1000), 3), 5)
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.05)
    few = single.accuracy_interval(50)
    many = single.accuracy_interval(10**9)
    assert few[0] < many[0]
    assert many[1] < few[1]
    assert many == pytest.approx((single.low, single.high))


def test_ensemble_estimate_without_errors() -> None:
    estimate = ensemble_estimate(np.ones(30, bool), np.arange(30), 5)
    assert estimate.value == 1.0
    assert 0.8 < estimate.low < 1.0


def test_ensemble_estimate_coverage() -> None:
    """Members err partly independently: ratios of errors from about 0.75 to 1."""
    rng = np.random.default_rng(0)
    n_covered = 0
    for _ in range(200):
        error = rng.uniform(0.03, 0.2)
        ratio = rng.uniform(0.72, 1.0)
        estimate = ensemble_estimate(rng.random(1500) > error, np.arange(1500), 5)
        low, high = estimate.accuracy_interval(400)
        n_covered += low <= (rng.random(400) > ratio * error).mean() <= high
    assert 184 <= n_covered <= 200


def test_pick_optimism() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(0.9, 0.01, (5, 40))  # only noise: picking gains two to three spreads
    assert 0.015 < pick_optimism(flat.tolist()) < 0.035
    same = [[0.5, 0.7, 0.9, 0.8]] * 5
    assert pick_optimism(same) == 0.0
    # With one scored epoch, none is picked.
    assert pick_optimism([[None, 0.9], [None, 0.8]]) == 0.0
