"""The learning curve: a known power law is found, and nothing is promised beyond twice the data."""

import numpy as np
import pytest

from bestiary.evaluation.learning_curve import SHARES, curve_of
from bestiary.rng import keyed_rng
from bestiary.stats.intervals import wilson_interval
from bestiary.stats.learning_curve import LearningCurve


def law_curve(noise: float, draws: int = 5) -> LearningCurve:
    rng = keyed_rng(0, "test")
    scored = np.full((draws, 1), 100_000)
    errors = 0.1 * SHARES**-0.5 * np.exp(noise * rng.standard_normal((draws, 1)))
    hits = np.round((1 - errors) * scored).astype(np.int64)
    return LearningCurve.of(SHARES, 40 * SHARES, hits[:, :, None], scored)


def test_gain_of_a_known_law() -> None:
    true = 0.1 - 0.1 * 2**-0.5
    assert law_curve(0).gain().value == pytest.approx(true, abs=1e-4)
    gain = law_curve(0.3).gain()
    assert law_curve(0).forecast().value == pytest.approx(0.9 + true, abs=1e-4)
    assert gain.low < true < gain.high
    assert gain.high - gain.low > law_curve(0.01).gain().high - law_curve(0.01).gain().low


@pytest.mark.parametrize("factor", [2.01, 10, 0.5])
def test_no_forecast_beyond_twice_the_images(factor: float) -> None:
    with pytest.raises(ValueError, match="not to be believed"):
        law_curve(0).gain(factor)


def test_more_images_never_make_it_worse() -> None:
    hits = np.array([[90, 85, 80, 75]] * 3)[:, :, None]
    curve = LearningCurve.of(SHARES, 40 * SHARES, hits, np.full((3, 1), 100))
    assert curve.gain().value == 0
    assert len(set(curve.law(SHARES).round(9).tolist())) == 1


def test_curve_of_features_rises() -> None:
    rng = keyed_rng(0, "features")
    labels = np.repeat(np.arange(4), 60)
    means = rng.standard_normal((4, 16)) * 0.55
    features = (means[labels] + rng.standard_normal((240, 16))).astype(np.float32)
    groups = np.arange(240)
    groups[1::2] = groups[::2]  # pairs
    folds = (groups // 2) % 3
    curve = curve_of(features, labels, groups, folds, 4)
    assert curve.by_draw.shape == (5, 4)
    assert curve.accuracies[0].value < curve.accuracies[-1].value
    assert curve.images_per_class[-1] == pytest.approx(40, abs=1)
    assert (curve_of(features, labels, groups, folds, 4).by_draw == curve.by_draw).all()


def test_folds_that_are_scored_again_are_no_new_images() -> None:
    """Two folds in five draws: 40 images, and not the 100 that the draws have together."""
    labels = np.arange(40) % 2
    features = (9 * np.eye(2)[labels]).astype(np.float32)
    curve = curve_of(features, labels, np.arange(40), np.arange(40) // 20, 2)
    assert curve.images == 100 and curve.repeats == 2.5
    assert curve.accuracies[-1].low == pytest.approx(wilson_interval(1.0, 40)[0])
    assert curve.class_recall(0).low == pytest.approx(wilson_interval(1.0, 20)[0])


def test_forecast_holds_the_truth_of_small_samples() -> None:
    """In 100 worlds with a known law, of 5 draws of 40 images, at least 90 intervals hold it."""
    true = 0.2 * 2**-0.4
    held = 0
    for world in range(100):
        rng = keyed_rng(world, "worlds")
        # A draw's sizes share their images: whoever is hardest is wrong at every size.
        hardness = rng.random((5, 1, 40))
        hits = (hardness > 0.2 * SHARES[None, :, None] ** -0.4).sum(axis=2)[:, :, None]
        curve = LearningCurve.of(SHARES, 40 * SHARES, hits, np.full((5, 1), 40))
        forecast = curve.forecast()
        held += forecast.low <= 1 - true <= forecast.high
    assert held >= 90


def test_a_class_gains_as_all_do() -> None:
    hits = np.array([[[60, 20], [70, 30], [80, 40], [90, 50]]] * 5)
    curve = LearningCurve.of(SHARES, 40 * SHARES, hits, np.full((5, 2), 100))
    good, poor = curve.class_forecast(0), curve.class_forecast(1)
    assert curve.class_recall(1).value == 0.5
    assert poor.value - 0.5 == pytest.approx(5 * (good.value - 0.9))
    assert poor.low < 0.5 < poor.value < poor.high < 1
