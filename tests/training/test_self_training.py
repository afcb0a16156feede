"""Soft pseudo-labels: what unlabeled images add to a head, and what they leave alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from bestiary.errors import DamagedError
from bestiary.recipe.load import load_recipe
from bestiary.training.head import fit_layer
from bestiary.training.lda_head import Moments, fit_lda
from bestiary.training.self_training import self_train, soft_moments

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def draw(rng: np.random.Generator, images: int) -> tuple[Features, Labels]:
    """Five classes whose means a few images show badly."""
    labels = np.arange(images) % 5
    centers = 0.35 * np.random.default_rng(1).normal(size=(5, 100))
    features = centers[labels] + rng.normal(size=(images, 100))
    return features.astype(np.float32), labels


def accuracy(
    layer: tuple[NDArray[np.float64], NDArray[np.float64]], x: Features, y: Labels
) -> float:
    weights, biases = layer
    return float(((x @ weights.T + biases).argmax(axis=1) == y).mean())


def test_unlabeled_images_raise_accuracy() -> None:
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(5):
        x, y = draw(rng, 20)
        unlabeled, _ = draw(rng, 600)
        new_x, new_y = draw(rng, 500)
        start = fit_lda(x, y, 5)
        learned = self_train(start, x, y, unlabeled)
        gains.append(accuracy(learned, new_x, new_y) - accuracy(start, new_x, new_y))
    assert np.mean(gains) > 0.15


def test_images_of_other_kinds_are_refused() -> None:
    """They would draw the means away."""
    rng = np.random.default_rng(0)
    x, y = draw(rng, 30)
    others = (20 * rng.normal(size=(300, 100)) ** 3).astype(np.float32)
    recipe = load_recipe("probe")
    (weights, _), choice = fit_layer(recipe, x, y, np.arange(30) // 5 % 5, 5, others)
    assert choice is not None
    assert (choice.unlabeled, choice.refused) == (0, 300)
    alone = fit_layer(recipe, x, y, np.arange(30) // 5 % 5, 5)[0]
    np.testing.assert_array_equal(weights, alone[0])


def test_confidence_is_that_of_the_start() -> None:
    rng = np.random.default_rng(0)
    x, y = draw(rng, 25)
    unlabeled, _ = draw(rng, 300)
    start = fit_lda(x, y, 5)
    learned = self_train(start, x, y, unlabeled)
    sure = [
        np.exp(log_softmax(unlabeled @ weights.T + biases, axis=1)).max(axis=1).mean()
        for weights, biases in (start, learned)
    ]
    assert sure[1] == pytest.approx(sure[0], abs=0.15)


def test_whole_shares_have_the_moments_of_labels() -> None:
    x, y = draw(np.random.default_rng(0), 50)
    soft = soft_moments(x.astype(np.float64), np.eye(5)[y])
    hard = Moments.of(x.astype(np.float64), y, 5)
    np.testing.assert_allclose(soft.means, hard.means, atol=1e-8)
    np.testing.assert_allclose(soft.covariance, hard.covariance, atol=1e-8)
    np.testing.assert_allclose(soft.counts, hard.counts)


def test_held_out_labels_change_no_head() -> None:
    """A fold's head depends on its training part and the unlabeled images alone."""
    rng = np.random.default_rng(0)
    x, y = draw(rng, 30)
    unlabeled, _ = draw(rng, 100)
    folds = np.arange(30) // 5 % 5
    rest = folds != 0
    changed = np.where(rest, y, 4 - y)
    recipe = load_recipe("probe")
    layers = [
        fit_layer(recipe, x[rest], labels[rest], folds[rest], 5, unlabeled)[0]
        for labels in (y, changed)
    ]
    np.testing.assert_array_equal(layers[0][0], layers[1][0])


def test_noise_shows_no_optimism() -> None:
    """With random labels, unlabeled images do not lift the held-out part above chance."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(10):
        x = rng.normal(size=(30, 60)).astype(np.float32)
        y = rng.permutation(np.arange(30) % 3)
        unlabeled = rng.normal(size=(200, 60)).astype(np.float32)
        folds = np.arange(30) % 5
        for fold in range(5):
            rest = folds != fold
            recipe = load_recipe("probe")
            layer, _ = fit_layer(recipe, x[rest], y[rest], folds[rest], 3, unlabeled)
            scores.append(accuracy(layer, x[~rest], y[~rest]))
    assert np.mean(scores) < 1 / 3 + 3 * np.std(scores) / np.sqrt(len(scores))


def test_features_of_another_network_are_refused() -> None:
    x, y = draw(np.random.default_rng(0), 30)
    with pytest.raises(DamagedError, match="another network"):
        fit_layer(load_recipe("probe"), x, y, np.arange(30) % 5, 5, x[:, :7])
