"""Answers of least expected cost: Bayes' rule, balanced costs, what they save."""

import numpy as np
import pytest

from bestiary.stats.costs import balanced_costs, compare_costs, decide


def test_equal_costs_leave_the_likeliest_class() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    answers, expected = decide(probabilities, 1 - np.eye(4))
    assert (answers == probabilities.argmax(axis=1)).all()
    assert expected == pytest.approx(1 - probabilities.max(axis=1))


def test_a_dear_class_is_answered_from_a_small_probability() -> None:
    costs = np.array([[0.0, 20.0], [1.0, 0.0]])  # the first class is the lynx
    answers, _ = decide(np.array([[0.04, 0.96], [0.06, 0.94]]), costs)
    assert answers.tolist() == [1, 0]  # the border lies at 1 / 21


def test_balanced_costs_maximize_balanced_accuracy() -> None:
    shares = np.array([0.9, 0.1])
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.1).astype(np.int64)
    x = rng.normal(size=20_000) + 1.5 * labels
    likelihoods = np.exp(-((x[:, None] - np.array([0.0, 1.5])) ** 2) / 2)
    probabilities = likelihoods * shares
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    answers, _ = decide(probabilities, balanced_costs(shares))
    assert (answers == likelihoods.argmax(axis=1)).all()
    comparison = compare_costs(probabilities, labels, np.arange(20_000), balanced_costs(shares))
    assert comparison.least < comparison.usual
    assert comparison.saved.low > 0
    assert comparison.changed == int((answers != probabilities.argmax(axis=1)).sum())


def test_saved_interval_counts_groups() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 100), 5)
    probabilities = np.repeat(rng.dirichlet([1, 1], 100), 5, axis=0)
    costs = np.array([[0.0, 3.0], [1.0, 0.0]])
    single = compare_costs(probabilities, labels, np.arange(500), costs).saved
    grouped = compare_costs(probabilities, labels, np.arange(500) // 5, costs).saved
    assert grouped.high - grouped.low > 2 * (single.high - single.low)


def test_class_without_images_has_a_finite_cost() -> None:
    costs = balanced_costs(np.array([0.5, 0.5, 0.0]))
    assert np.isfinite(costs).all()
    assert costs[2, 0] == costs[0, 2]
