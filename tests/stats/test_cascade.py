"""Cascade: the promised risk on simulated logits, and what stopping costs at most."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bestiary.stats.averaging import average
from bestiary.stats.cascade import Cascade

N_CLASSES = 5
N_FITTED = 1500
N_NEW = 4000
TRIALS = 60

Simulated = tuple[NDArray[np.float64], NDArray[np.int64]]


def simulate(rng: np.random.Generator, images: int, sharpness: float) -> Simulated:
    """Logits (members, images, classes) of members that share most of their errors, and labels.

    Members are too confident by `sharpness`, and some images are hard for all of them.
    """
    labels = rng.integers(0, N_CLASSES, images)
    ease = rng.exponential(2.5, images)
    signal = ease[:, None] * np.eye(N_CLASSES)[labels]
    common = rng.normal(size=(images, N_CLASSES))
    own = 0.5 * rng.normal(size=(3, images, N_CLASSES))
    return sharpness * (signal + common + own), labels


def fitted(rng: np.random.Generator, risk: float, sharpness: float = 1.0) -> Cascade:
    logits, labels = simulate(rng, N_FITTED, sharpness)
    folds = np.arange(N_FITTED) % 3
    out_of_fold = logits[folds, np.arange(N_FITTED)]
    return Cascade.fit(out_of_fold, labels, folds, np.arange(N_FITTED), risk)


@pytest.mark.parametrize(("risk", "sharpness"), [(0.02, 3.0), (0.1, 0.4)])
def test_risk_is_kept_19_times_of_20(risk: float, sharpness: float) -> None:
    n_broken = 0
    shares = []
    for trial in range(TRIALS):
        rng = np.random.default_rng(trial)
        cascade = fitted(rng, risk, sharpness)
        logits, labels = simulate(rng, N_NEW, sharpness)
        is_stopped = cascade.stops(logits[0])
        is_wrong = logits[0].argmax(axis=1) != labels
        shares.append(is_stopped.mean())
        if is_stopped.any():
            # So many new images that chance among them hardly counts.
            n_broken += bool(is_wrong[is_stopped].mean() > risk)
    assert n_broken <= 0.05 * TRIALS + 4, f"promised for 95 %: {n_broken} of {TRIALS}"
    assert np.mean(shares) > 0.2, "a promise that stops nothing is worth nothing"


def test_cost_is_at_most_what_is_stated() -> None:
    n_over = 0
    for trial in range(20):
        rng = np.random.default_rng(1000 + trial)
        cascade = fitted(rng, 0.05)
        logits, labels = simulate(rng, N_NEW, 1.0)
        is_stopped = cascade.stops(logits[0])
        of_all = average(logits).argmax(axis=1)
        answers = np.where(is_stopped, logits[0].argmax(axis=1), of_all)
        cost = (of_all == labels).mean() - (answers == labels).mean()
        n_over += bool(cost > cascade.max_cost)
    assert n_over <= 2


def test_stated_counts_are_cross_fitted() -> None:
    rng = np.random.default_rng(7)
    logits, labels = simulate(rng, 900, 1.0)
    folds = np.arange(900) % 3
    cascade = Cascade.fit(logits[0], labels, folds, np.arange(900), 0.1)
    # The same images, with the labels of fold 0 at random: the other folds' limits judge it.
    spoilt = labels.copy()
    spoilt[folds == 0] = rng.integers(0, N_CLASSES, (folds == 0).sum())
    worse = Cascade.fit(logits[0], spoilt, folds, np.arange(900), 0.1)
    assert worse.n_wrong > 100 > cascade.n_wrong
    assert worse.threshold > cascade.threshold


def test_too_few_images_promise_nothing() -> None:
    rng = np.random.default_rng(1)
    logits, labels = simulate(rng, 60, 1.0)
    cascade = Cascade.fit(logits[0], labels, np.arange(60) % 3, np.arange(60), 0.01)
    assert cascade.never_stops
    assert not cascade.stops(100 * logits[0]).any()
    assert cascade.max_cost == 0


def test_bursts_count_once() -> None:
    """Ten frames of one animal are one piece of evidence, for the limit and for the cost."""
    labels = np.repeat(np.random.default_rng(3).integers(0, N_CLASSES, 60), 10)
    logits = 6.0 * np.eye(N_CLASSES)[labels]
    bursts = np.arange(600) // 10
    frames = Cascade.fit(logits, labels, bursts % 3, np.arange(600), 0.05)
    once = Cascade.fit(logits, labels, bursts % 3, bursts, 0.05)
    assert frames.n_stopped == 600 and once.never_stops is False
    assert once.n_stopped == 0  # 40 bursts of the other folds are fewer than the 59 it takes
    tenth = Cascade.fit(logits, labels, bursts % 3, bursts, 0.1)
    assert tenth.n_stopped == 600
    assert tenth.max_cost == pytest.approx(1 - 0.05 ** (1 / 60))
