"""Calibration: temperature, conformal prediction sets, accepted answers, JSON."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from bestiary.stats.calibration import (
    Calibration,
    accepted_threshold,
    conformal_quantile,
    fit_temperature,
    prediction_sets,
    risk_coverage,
    set_names,
)


def draw(
    seed: int, n: int, sharpness: float = 1.0, classes: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true posterior, times `sharpness`, and labels."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, classes))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    labels = (rng.random(n)[:, None] > cumulated).sum(axis=1).clip(0, classes - 1)
    return sharpness * logits, labels


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 4.0])
def test_temperature_minimizes_log_loss(sharpness: float) -> None:
    logits, labels = draw(0, 4000, sharpness)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(sharpness, rel=0.06)
    best = log_loss(labels, softmax(logits / temperature, axis=1))
    for factor in (0.95, 1.05):
        assert best < log_loss(labels, softmax(logits / (temperature * factor), axis=1))


def test_temperature_is_finite_without_errors() -> None:
    assert 1 / 21 < fit_temperature(np.eye(3) * 5, np.arange(3)) < 1


def test_prediction_sets_are_mapies() -> None:
    mapie = pytest.importorskip("mapie.classification", reason="MAPIE is not installed")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Fixed(ClassifierMixin, BaseEstimator):
        """Returns its input as probabilities."""

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Fixed":
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(axis=1)

    logits, labels = draw(1, 500)
    new_logits, _ = draw(2, 300)
    probabilities = softmax(logits, axis=1)
    new = softmax(new_logits, axis=1)
    for coverage in (0.8, 0.9, 0.95):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = mapie.SplitConformalClassifier(
                Fixed().fit(probabilities, labels),
                confidence_level=coverage,
                conformity_score="lac",
                prefit=True,
            )
            _, sets = model.conformalize(probabilities, labels).predict_set(new)
        expected = sets[:, :, 0].copy()
        # Here an empty set contains the most probable class.
        expected[np.arange(len(new)), new.argmax(axis=1)] = True
        scores = 1 - probabilities[np.arange(500), labels]
        limit = np.asarray(conformal_quantile(scores, coverage))
        assert (prediction_sets(new, limit) == expected).all()


def test_prediction_set_coverage() -> None:
    """benchmarks/honesty/intervals.py checks the full claim on 1,000 samples."""
    coverage: dict[str, list[float]] = {"all": [], "class": []}
    for seed in range(60):
        calibration = Calibration.fit(*draw(seed, 800, 3.0))
        new, labels = draw(seed + 10**6, 800, 3.0)
        probabilities = calibration.probabilities(new[None], "logits")
        for kind, shares in coverage.items():
            inside = calibration.set_mask(probabilities, 0.9, kind)  # type: ignore[arg-type]
            shares.append(inside[np.arange(800), labels].mean())
    assert 0.89 < np.mean(coverage["all"]) < 0.91
    assert 0.895 < np.mean(coverage["class"]) < 0.925  # each class is rounded up


def test_class_prediction_set_with_few_images() -> None:
    logits, labels = draw(0, 200)
    labels[labels == 5] = 4
    labels[:3] = 5
    calibration = Calibration.fit(logits, labels)
    assert calibration.class_prediction_sets[0.9][5] == 1.0
    assert calibration.set_mask(softmax(logits, axis=1), 0.9, "class")[:, 5].all()


@given(st.integers(1, 60), st.floats(0.5, 0.99))
def test_conformal_quantile_definition(n: int, coverage: float) -> None:
    scores = np.random.default_rng(n).random(n)
    limit = conformal_quantile(scores, coverage)
    if limit == 1.0:
        assert (n + 1) * coverage > n
    else:
        assert (scores <= limit).sum() >= (n + 1) * coverage - 1e-6
        assert (scores < limit).sum() < (n + 1) * coverage


def test_accepted_threshold_keeps_the_risk() -> None:
    n_exceeded = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        confidence = rng.random(1500)
        threshold = accepted_threshold(confidence, rng.random(1500) < confidence**0.2, 0.05)
        new = rng.random(20_000)
        is_accepted = new >= threshold
        is_wrong = rng.random(20_000) >= new**0.2
        n_exceeded += bool(is_accepted.any()) and is_wrong[is_accepted].mean() > 0.05
    assert n_exceeded <= 20  # 5 of 100 are allowed: 10 of 200 are expected at most


def test_accepted_threshold_with_too_few_images() -> None:
    assert accepted_threshold(np.linspace(0, 1, 50), np.ones(50, bool), 0.01) > 1
    assert accepted_threshold(np.linspace(0, 1, 1000), np.zeros(1000, bool), 0.05) > 1
    assert accepted_threshold(np.linspace(0, 1, 1000), np.ones(1000, bool), 0.05) == 0.0


def test_accepted_threshold_counts_all_that_reach_it() -> None:
    """Images of one confidence reach a threshold together, whichever stands first."""
    right = np.repeat([True, False], [150, 50])
    assert accepted_threshold(np.full(200, 0.9), right, 0.05) > 1
    more = np.append(np.full(150, 0.95), np.full(200, 0.9))
    assert accepted_threshold(more, np.append(np.ones(150, bool), right), 0.05) == 0.95


def test_what_is_accepted_counts_near_duplicates_once() -> None:
    logits, labels = 5 * np.eye(3)[np.arange(300) % 3], np.arange(300) % 3
    assert Calibration.fit(logits, labels).accepted[0.05] <= 1
    assert Calibration.fit(logits, labels, np.arange(300) // 3).accepted[0.05] <= 1
    assert Calibration.fit(logits, labels, np.arange(300) // 6).accepted[0.05] > 1


def test_risk_coverage() -> None:
    coverage, risk = risk_coverage(np.array([0.9, 0.5, 0.7]), np.array([True, False, True]))
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3])


def test_calibration_json_round_trip() -> None:
    calibration = Calibration.fit(*draw(0, 300))
    stored = json.dumps(calibration.to_json())
    assert Calibration.read(json.loads(stored)) == calibration
    with pytest.raises(KeyError):
        Calibration.read({"temperature": 1.0})
    for wrong in (
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"prediction_sets": {"0.9": 1.0}},
        {"accepted": 3},
    ):
        with pytest.raises(ValueError, match="calibration"):
            Calibration.read(calibration.to_json() | wrong)


def test_set_names_are_ranked() -> None:
    inside = np.array([[True, False, True]])
    probabilities = np.array([[0.2, 0.3, 0.5]])
    assert set_names(inside, probabilities, ["a", "b", "c"]) == [["c", "a"]]
