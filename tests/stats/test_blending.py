"""Blends: weights that help and never hurt, honest by folds, and what each run adds."""

import numpy as np
import pytest

from bestiary.stats.blending import blend_gain, blend_runs, fit_weights
from bestiary.stats.metrics import logit_log_losses

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 600)
FOLDS = np.arange(600) % 5
SIGNAL = 2.0 * np.eye(4)[LABELS]
GOOD = SIGNAL + RNG.normal(size=(600, 4))
OTHER = SIGNAL + RNG.normal(size=(600, 4))  # as good, with mistakes of its own
NOISE = RNG.normal(size=(600, 4))


def test_weights_are_not_negative_and_scale_free() -> None:
    weights = fit_weights(np.stack([GOOD, OTHER, -SIGNAL]), LABELS)
    assert (weights >= 0).all()
    assert weights[2] == 0
    scaled = fit_weights(np.stack([GOOD, 100 * OTHER]), LABELS)
    plain = fit_weights(np.stack([GOOD, OTHER]), LABELS)
    assert scaled * [1, 100] == pytest.approx(plain, rel=1e-2)


def test_weights_minimize_log_loss() -> None:
    runs = np.stack([GOOD, OTHER])
    weights = fit_weights(runs, LABELS)

    def loss(tried: np.ndarray) -> float:
        return float(logit_log_losses(np.tensordot(tried, runs, axes=1), LABELS).mean())

    for step in ([0.05, 0], [-0.05, 0], [0, 0.05], [0, -0.05]):
        assert loss(weights) <= loss(weights + np.array(step))


def test_a_fold_is_blended_by_the_others() -> None:
    """Labels of a fold must not reach its own weights or logits."""
    runs = np.stack([GOOD, OTHER])
    blend = blend_runs(runs, LABELS, FOLDS)
    changed = np.where(FOLDS == 2, (LABELS + 1) % 4, LABELS)
    other = blend_runs(runs, changed, FOLDS)
    assert (blend.weights[2] == other.weights[2]).all()
    assert (blend.logits[FOLDS == 2] == other.logits[FOLDS == 2]).all()
    assert (blend.weights[0] != other.weights[0]).any()


def test_two_good_runs_gain() -> None:
    gain = blend_gain(np.stack([GOOD, OTHER]), LABELS, FOLDS, np.arange(600))
    assert gain.gain.low > 0
    assert gain.blend.value > max(share.value for share in gain.alone)
    assert gain.added == []


def test_noise_adds_nothing_and_takes_nothing() -> None:
    gain = blend_gain(np.stack([NOISE, GOOD, OTHER]), LABELS, FOLDS, np.arange(600))
    assert gain.best in (1, 2)
    noise, good, other = gain.added
    assert noise.low <= 0 <= noise.high
    assert abs(noise.value) < 0.01
    assert good.low > 0
    assert other.low > 0


def test_never_worse_than_the_best_by_more_than_chance() -> None:
    """Over draws of a good and a bad run, the good one alone is not shown to be better."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        bad = 0.3 * SIGNAL + rng.normal(size=(600, 4))
        gain = blend_gain(np.stack([GOOD, bad]), LABELS, FOLDS, np.arange(600))
        assert gain.best == 0
        assert gain.gain.high >= 0


def test_a_member_without_scored_images_has_weights() -> None:
    """Those of all images: none of them was held out with its fold."""
    runs = np.stack([GOOD, OTHER])
    is_scored = FOLDS != 4
    scored = runs[:, is_scored], LABELS[is_scored], FOLDS[is_scored]
    blend = blend_runs(*scored, members=FOLDS)
    assert blend.folds.tolist() == [0, 1, 2, 3, 4]
    assert (blend.weights[:4] == blend_runs(*scored).weights).all()
    assert (blend.weights[4] == fit_weights(*scored[:2])).all()
