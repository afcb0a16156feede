"""Temperature, sets and sure answers keep their promises; sets are MAPIE's."""

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
def test_temperature_undoes_what_is_too_sharp_and_no_other_is_better(sharpness: float) -> None:
    logits, labels = draw(0, 4000, sharpness)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.06)
    best = log_loss(labels, softmax(logits / found, axis=1))
    for factor in (0.95, 1.05):
        assert best < log_loss(labels, softmax(logits / (found * factor), axis=1))


def test_a_network_that_is_never_wrong_has_a_finite_temperature() -> None:
    assert 1 / 21 < fit_temperature(np.eye(3) * 5, np.arange(3)) < 1


def test_sets_are_mapies() -> None:
    mapie = pytest.importorskip("mapie.classification", reason="MAPIE is not installed")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Fixed(ClassifierMixin, BaseEstimator):
        """Hands its input through as probabilities."""

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Fixed":
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(axis=1)

    (known, labels), (new, _) = draw(1, 500), draw(2, 300)
    known, new = softmax(known, axis=1), softmax(new, axis=1)
    for coverage in (0.8, 0.9, 0.95):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = mapie.SplitConformalClassifier(
                Fixed().fit(known, labels),
                confidence_level=coverage,
                conformity_score="lac",
                prefit=True,
            )
            _, sets = model.conformalize(known, labels).predict_set(new)
        expected = sets[:, :, 0].copy()
        expected[np.arange(len(new)), new.argmax(axis=1)] = (
            True  # an empty set names the likeliest class here
        )
        scores = 1 - known[np.arange(500), labels]
        assert (
            prediction_sets(new, np.asarray(conformal_quantile(scores, coverage))) == expected
        ).all()


def test_sets_cover_what_was_asked_for() -> None:
    """The full claim, 1,000 samples, is bench_intervals.py's."""
    held = {"all": [], "class": []}
    for seed in range(60):
        (known, labels), (new, truth) = draw(seed, 800, 3.0), draw(seed + 10**6, 800, 3.0)
        found = Calibration.fit(known, labels)
        probabilities = found.probabilities(new[None], "logits")
        for kind, shares in held.items():
            shares.append(found.set_of(probabilities, 0.9, kind)[np.arange(800), truth].mean())  # type: ignore[arg-type]
    assert 0.89 < np.mean(held["all"]) < 0.91
    assert 0.895 < np.mean(held["class"]) < 0.925  # each class is rounded up


def test_a_class_with_too_few_images_is_in_every_set() -> None:
    logits, labels = draw(0, 200)
    labels[labels == 5] = 4
    labels[:3] = 5
    found = Calibration.fit(logits, labels)
    assert found.class_prediction_sets[0.9][5] == 1.0
    assert found.set_of(softmax(logits, axis=1), 0.9, "class")[:, 5].all()


@given(st.integers(1, 60), st.floats(0.5, 0.99))
def test_the_conformal_quantile_is_the_definitions(n: int, coverage: float) -> None:
    scores = np.random.default_rng(n).random(n)
    limit = conformal_quantile(scores, coverage)
    if limit == 1.0:
        assert (n + 1) * coverage > n
    else:
        assert (scores <= limit).sum() >= (n + 1) * coverage - 1e-6
        assert (scores < limit).sum() < (n + 1) * coverage


def test_sure_answers_are_wrong_less_often_than_asked_for() -> None:
    broken = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        confidence = rng.random(1500)
        threshold = accepted_threshold(confidence, rng.random(1500) < confidence**0.2, 0.05)
        fresh = rng.random(20_000)
        kept = fresh >= threshold
        broken += bool(kept.any()) and (rng.random(20_000) >= fresh**0.2)[kept].mean() > 0.05
    assert broken <= 20  # 5 of 100 are allowed; 10 of 200 expected at most


def test_no_confidence_is_enough_where_nothing_can_be_shown() -> None:
    assert accepted_threshold(np.linspace(0, 1, 50), np.ones(50, bool), 0.01) > 1
    assert accepted_threshold(np.linspace(0, 1, 1000), np.zeros(1000, bool), 0.05) > 1
    assert accepted_threshold(np.linspace(0, 1, 1000), np.ones(1000, bool), 0.05) == 0.0


def test_risk_coverage_ends_at_the_error_of_all() -> None:
    coverage, risk = risk_coverage(np.array([0.9, 0.5, 0.7]), np.array([True, False, True]))
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3])


def test_calibration_survives_json() -> None:
    import json

    found = Calibration.fit(*draw(0, 300))
    assert Calibration.read(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(KeyError):
        Calibration.read({"temperature": 1.0})
    for wrong in (
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"prediction_sets": {"0.9": 1.0}},
        {"accepted": 3},
    ):
        with pytest.raises(ValueError, match="calibration"):
            Calibration.read(found.to_json() | wrong)


def test_names_of_a_set_come_with_the_likeliest_first() -> None:
    held = np.array([[True, False, True]])
    assert set_names(held, np.array([[0.2, 0.3, 0.5]]), ["a", "b", "c"]) == [["c", "a"]]
