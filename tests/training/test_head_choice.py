"""The choice of a head: which one wins where, and what the choice may see."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bestiary.training import head_choice
from bestiary.training.head_choice import choose_head
from bestiary.training.lda_head import LdaParams, Moments, fit_lda, lda_layer, tune_lda

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def hits(layer: tuple[NDArray[np.float64], NDArray[np.float64]], x: Features, y: Labels) -> float:
    weights, biases = layer
    return float(((x @ weights.T + biases).argmax(axis=1) == y).mean())


def correlated(
    rng: np.random.Generator, images: int, shift: float = 0.6
) -> tuple[Features, Labels]:
    """Few directions of large noise hide the classes: only a covariance shows them."""
    labels = np.arange(images) % 3
    mixing = np.random.default_rng(7).normal(size=(8, 60))
    noise = rng.normal(size=(images, 60)) + 8 * rng.normal(size=(images, 8)) @ mixing
    features = noise + shift * np.random.default_rng(8).normal(size=(3, 60))[labels]
    return features.astype(np.float32), labels


@pytest.mark.parametrize(("gain", "expected"), [(0.02, "lda"), (0.5, "logistic")])
def test_another_head_must_win_clearly(gain: float, expected: str) -> None:
    losses = np.random.default_rng(0).exponential(size=30)
    noise = np.random.default_rng(1).normal(size=30)
    params = LdaParams(0.5)
    fits = {
        "lda": head_choice._Fit(params, 1.0, losses, 0.5),
        "nearest_mean": head_choice._Fit(params, 1.0, losses + 1, 0.5),
        "logistic": head_choice._Fit(params, 1.0, losses - gain + noise - noise.mean(), 0.5),
    }
    assert head_choice._preferred(fits) == expected


def test_no_nearest_mean_in_correlated_noise() -> None:
    rng = np.random.default_rng(0)
    x, y = correlated(rng, 90)
    layer, choice = choose_head(x, y, np.arange(90) // 3 % 5, 3)
    assert choice.kind != "nearest_mean"
    assert choice.log_loss["lda"] < choice.log_loss["nearest_mean"]
    new_x, new_y = correlated(rng, 600)
    assert hits(layer, new_x, new_y) > 0.55


def test_logistic_where_classes_differ_in_spread() -> None:
    """Far outliers of one class move means and covariance, and no boundary."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    features = rng.normal(size=(80, 30))
    features[:, 0] += 4 * labels
    features[labels == 1, 0] *= np.where(rng.random(40) < 0.3, 60, 1)
    layer, choice = choose_head(features.astype(np.float32), labels, np.arange(80) // 2 % 5, 2)
    assert choice.kind == "logistic"
    assert hits(layer, features.astype(np.float32), labels) > 0.9


def test_parts_never_judge_themselves() -> None:
    """Labels that are noise: no head looks better than chance by its own judgement."""
    rng = np.random.default_rng(0)
    accuracies = []
    for _ in range(20):
        x = rng.normal(size=(30, 200)).astype(np.float32)
        _, choice = choose_head(x, rng.permutation(np.arange(30) % 3), np.arange(30) % 5, 3)
        accuracies.append(choice.accuracy[choice.kind])
    assert np.mean(accuracies) < 0.33 + 0.1


def test_choice_shows_no_optimism() -> None:
    """On pure noise, the folds that hold images out score at chance."""
    rng = np.random.default_rng(1)
    scores = []
    for _ in range(20):
        x = rng.normal(size=(30, 100)).astype(np.float32)
        y = rng.permutation(np.arange(30) % 3)
        folds = np.arange(30) % 5
        for fold in range(5):
            rest = folds != fold
            layer, _ = choose_head(x[rest], y[rest], folds[rest], 3)
            scores.append(hits(layer, x[~rest], y[~rest]))
    assert np.mean(scores) < 1 / 3 + 3 * np.std(scores) / np.sqrt(len(scores))


def test_many_images_get_the_discriminant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_choice, "MAX_IMAGES", 20)
    x, y = correlated(np.random.default_rng(0), 60)
    (weights, biases), choice = choose_head(x, y, np.arange(60) % 5, 3, head_tau_norm=True)
    expected_weights, expected_biases = fit_lda(x, y, 3, head_tau_norm=True)
    np.testing.assert_array_equal(weights, expected_weights)
    np.testing.assert_array_equal(biases, expected_biases)
    assert choice.kind == "lda"
    assert not choice.log_loss


def test_span_has_the_same_discriminant() -> None:
    """Coordinates in the span of few images give the layer that the features give."""
    x, y = correlated(np.random.default_rng(0), 24)
    params = tune_lda(x, y, 3)
    span = head_choice.Span.of(x)
    inner = lda_layer(Moments.of(span.coordinates, y, 3, dimensions=60), params)
    new_x, _ = correlated(np.random.default_rng(1), 10)
    logits = [
        new_x @ weights.T + biases
        for weights, biases in (span.layer(*inner), lda_layer(Moments.of(x, y, 3), params))
    ]
    ours, expected = (one - one.mean(axis=1, keepdims=True) for one in logits)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("images", [2, 3, 5])
def test_hardly_any_images_have_a_head(images: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, 50)).astype(np.float32)
    (weights, biases), _ = choose_head(x, np.arange(images) % 2, np.arange(images), 3)
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()


def test_equal_features_have_a_head() -> None:
    x = np.ones((12, 5), np.float32)
    (weights, biases), _ = choose_head(x, np.arange(12) % 3, np.arange(12) % 4, 3)
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()


def test_class_without_images_is_improbable() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 2], 15)
    x = (rng.normal(size=(30, 40)) + y[:, None]).astype(np.float32)
    weights, biases = choose_head(x, y, np.arange(30) % 5, 3)[0]
    assert set((x @ weights.T + biases).argmax(axis=1)) == {0, 2}


def test_scale_of_features_changes_nothing() -> None:
    """Networks differ in the lengths of their features; penalties must not."""
    x, y = correlated(np.random.default_rng(3), 45)
    choices = [choose_head(x * factor, y, np.arange(45) % 5, 3)[1] for factor in (1.0, 1000.0)]
    assert choices[0].kind == choices[1].kind
    for kind, loss in choices[0].log_loss.items():
        assert choices[1].log_loss[kind] == pytest.approx(loss, rel=0.02)
