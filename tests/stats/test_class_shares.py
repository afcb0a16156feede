"""Shares of classes among new images: intervals hold after a shift, groups count once."""

import numpy as np
import pytest

from bestiary.stats.class_shares import (
    Known,
    New,
    estimate_shares,
    independent_groups,
    maximize_shares,
)

MEANS = 1.2 * np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.3, 0.3, 0.9]])


def draw(
    rng: np.random.Generator, shares: np.ndarray, n: int, members: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (members, n, 3), too sharp and biased, and labels (n,)."""
    labels = rng.choice(3, n, p=shares)
    features = MEANS[labels] + 0.6 * rng.normal(size=(n, 3))
    logits = 1.7 * (features @ MEANS.T - (MEANS**2).sum(axis=1) / 2) / 0.36
    errors = 0.3 * rng.normal(size=(members, n, 3))
    return logits + errors + np.array([0.8, 0.0, -0.8]), labels


def test_intervals_hold_after_a_shift() -> None:
    """The whole simulation, with its figures, is benchmarks/honesty/count.py."""
    rng = np.random.default_rng(0)
    holds, counts_hold, errors, naive = [], [], [], []
    for _ in range(30):
        logits, labels = draw(rng, np.array([0.4, 0.3, 0.3]), 400, 1)
        known = Known(logits[0], labels, np.arange(400))
        truth = rng.dirichlet(np.ones(3))
        logits, labels = draw(rng, truth, 300)
        result = estimate_shares(known, New(logits, np.arange(300)), draws=40)
        holds += ((result.low <= truth) & (truth <= result.high)).tolist()
        present = np.bincount(labels, minlength=3)
        low, high = result.count_intervals
        counts_hold += ((low <= present) & (present <= high)).tolist()
        errors.append(np.abs(result.counts - present).mean())
        predicted = np.bincount(logits.mean(axis=0).argmax(axis=1), minlength=3)
        naive.append(np.abs(predicted - present).mean())
        assert result.adjusted == pytest.approx(truth, abs=0.25)
    assert np.mean(holds) >= 0.88  # 90 intervals of 0.95: 3 standard deviations below
    assert np.mean(counts_hold) >= 0.88
    assert np.mean(errors) < 0.8 * np.mean(naive)


def test_groups_widen_intervals() -> None:
    rng = np.random.default_rng(1)
    logits, labels = draw(rng, np.ones(3) / 3, 300, 1)
    known = Known(logits[0], labels, np.arange(300))
    few, _ = draw(rng, np.ones(3) / 3, 40)
    repeated = np.repeat(few, 8, axis=1)
    single = estimate_shares(known, New(repeated, np.arange(320)), draws=40)
    grouped = estimate_shares(known, New(repeated, np.arange(320) // 8), draws=40)
    assert grouped.shares == pytest.approx(single.shares)
    assert (grouped.high - grouped.low > 1.5 * (single.high - single.low)).all()
    assert (grouped.images, grouped.groups) == (320, 40)


def test_same_again() -> None:
    rng = np.random.default_rng(2)
    logits, labels = draw(rng, np.ones(3) / 3, 100, 1)
    known = Known(logits[0], labels, np.arange(100))
    new = New(draw(rng, np.ones(3) / 3, 50)[0], np.arange(50))
    first, second = (estimate_shares(known, new, draws=10) for _ in range(2))
    assert (first.low == second.low).all()
    assert (first.spread == second.spread).all()


def test_absent_class_has_an_upper_end() -> None:
    """No image shows it, so nothing varies in the bootstrap; the interval must not be empty."""
    labels = np.arange(90) % 3
    known = Known(20.0 * np.eye(3)[labels], labels, np.arange(90))
    new = New(20.0 * np.eye(3)[[0, 1] * 30][None], np.arange(60))
    result = estimate_shares(known, new, draws=20)
    assert result.shares[2] < 1e-3
    assert 0.03 < result.high[2] < 0.1  # about 3.8 / 60


def test_independent_groups() -> None:
    assert independent_groups(np.array([5, 5, 5])) == pytest.approx(3)
    assert independent_groups(np.array([100, 1])) == pytest.approx(1.02, abs=0.01)


def test_maximize_shares_undoes_confusion() -> None:
    confusion = np.array([[0.8, 0.2], [0.1, 0.9]])
    truth = np.array([0.25, 0.75])
    labels = truth @ confusion
    assert maximize_shares(confusion.T, labels, np.ones(2) / 2) == pytest.approx(truth, abs=1e-4)
