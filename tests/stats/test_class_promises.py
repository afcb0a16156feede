"""Promises of each class: kept in simulations, groups counted once, nothing for rare classes."""

import numpy as np
import pytest

from bestiary.stats.calibration import NEVER, accepted_threshold, least_images
from bestiary.stats.class_promises import ClassPromises


def simulate(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of three classes, the last one rare, and labels drawn from them."""
    logits = rng.normal(size=(n, 3)) * 2.5 + np.array([1.0, 0.5, -2.0])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return probabilities, labels


def test_promises_are_kept() -> None:
    """In 95 % of simulations or more; 200 of them, of which chance may spare a few."""
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(200):
        probabilities, labels = simulate(rng, 500)
        promises = ClassPromises.fit(probabilities, labels, np.arange(500), 0.9)
        new, _ = simulate(rng, 20_000)
        predicted = new.argmax(axis=1)
        reaches = promises.keeps(new)
        for number in np.flatnonzero(promises.can_promise):
            chosen = new[reaches & (predicted == number), number]
            kept.append(chosen.mean() >= 0.9)  # the probabilities are exact: no draw of labels
    assert len(kept) > 300
    assert np.mean(kept) >= 0.95


def test_promises_would_fail_without_a_limit() -> None:
    """The share of errors alone, without its upper limit, breaks far more promises."""
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(100):
        probabilities, labels = simulate(rng, 500)
        confidence = probabilities.max(axis=1)
        order = np.argsort(-confidence)
        wrong = np.cumsum(probabilities.argmax(axis=1)[order] != labels[order])
        last = int(np.flatnonzero(wrong / np.arange(1, 501) <= 0.1)[-1])
        new, _ = simulate(rng, 20_000)
        broken += new.max(axis=1)[new.max(axis=1) >= confidence[order[last]]].mean() < 0.9
    assert broken > 20


def test_rare_class_has_no_promise() -> None:
    probabilities = np.tile([0.2, 0.8], (58, 1))
    labels = np.ones(58, np.int64)
    promises = ClassPromises.fit(probabilities, labels, np.arange(58), 0.95)
    assert promises.least_images == least_images(0.05) == 59
    assert promises.thresholds.tolist() == [NEVER, NEVER]
    assert promises.labeled.tolist() == [0, 58]
    more = ClassPromises.fit(
        np.vstack([probabilities, probabilities[:1]]), np.ones(59, np.int64), np.arange(59), 0.95
    )
    assert more.thresholds.tolist() == [NEVER, 0.8]
    assert more.reached.tolist() == [0, 59]


def test_groups_count_once() -> None:
    confidence = np.linspace(0.9, 0.8, 118)
    hits = np.ones(118, np.bool_)
    single = accepted_threshold(confidence, hits, 0.05, np.arange(118))
    pairs = accepted_threshold(confidence, hits, 0.05, np.arange(118) // 2)
    threes = accepted_threshold(confidence, hits, 0.05, np.arange(118) // 3)
    assert single == pairs == pytest.approx(0.8)
    assert threes == NEVER  # 40 groups are too few


def test_ties_share_one_threshold() -> None:
    """Images of equal confidence are all above the threshold, or none is."""
    confidence = np.repeat([0.9, 0.5], [60, 60])
    hits = np.repeat([True, False], [60, 60])
    threshold = accepted_threshold(confidence, hits, 0.05)
    assert threshold == 0.9
