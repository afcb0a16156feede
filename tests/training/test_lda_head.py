"""The discriminant that a head starts from, against scikit-learn's, and what its shape is chosen
by.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bestiary.model.classifier import build_classifier
from bestiary.training import lda_head as head
from bestiary.training.lda_head import SHRINKAGES, Moments, choose_shape, discriminant, fit_head


@pytest.mark.parametrize("classes", [2, 5])
def test_the_probes_head_is_scikit_learns_discriminant_analysis(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 80)
    features = (rng.normal(size=(80, 1024)) + 0.1 * labels[:, None]).astype(np.float32)
    classifier = build_classifier("torchvision/shufflenet_v2_x0_5", classes, "none")
    fit_head(classifier, features, labels)
    shape = choose_shape(features, labels, classes)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shape.shrinkage).fit(
        features, labels
    )
    with torch.no_grad():
        ours = classifier.head_layer(torch.from_numpy(features)).double().log_softmax(dim=1).numpy()
    # the same posteriors but for one factor on the log scale, which says how sure the head may be
    # of new images
    expected = (
        log_softmax(reference.decision_function(features) * shape.factor, axis=1)
        if classes > 2
        else None
    )
    if expected is None:
        logits = reference.decision_function(features) * shape.factor
        expected = log_softmax(np.stack([-logits / 2, logits / 2], axis=1), axis=1)
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    assert 0 < shape.factor < 1


def test_a_class_of_few_images_is_not_missed_for_that_alone() -> None:
    """Equally frequent by their priors, so that what is left is that the mean of few images
    comes out too long.
    """
    rng = np.random.default_rng(0)
    right: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(10):
        centers = 0.25 * rng.normal(size=(5, 200))
        labels = np.repeat(np.arange(5), [100, 100, 100, 100, 5])
        features, new = (
            (centers[of] + rng.normal(size=(len(of), 200))).astype(np.float32)
            for of in (labels, np.repeat(4, 500))
        )
        for head_tau_norm, shares in right.items():
            shape = choose_shape(features, labels, 5, head_tau_norm)
            weights, biases = discriminant(Moments.of(features, labels, 5), shape, 1.0)
            shares.append(float(((new @ weights.T + biases).argmax(axis=1) == 4).mean()))
    own, evened = (np.mean(shares) for shares in right.values())
    assert own < 0.2, "the rare class is missed"
    assert evened > own + 0.2


def test_classes_that_are_steps_of_one_scale_keep_their_means_lengths() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 1500)
    features = rng.normal(size=(1500, 20)).astype(np.float32)
    features[:, 0] += 2 * labels  # the middle one's mean is the center
    assert choose_shape(features, labels, 5, head_tau_norm=True).tau == 0


def test_a_head_that_has_every_image_right_is_not_boundlessly_sure() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = (rng.normal(size=(40, 8)) + 20 * labels[:, None]).astype(np.float32)
    shape = choose_shape(features, labels, 2)
    weights, biases = discriminant(Moments.of(features, labels, 2), shape)
    logits = features @ weights.T + biases
    assert (logits.argmax(axis=1) == labels).all()
    # eight images were kept apart: the ninth may be wrong
    assert 0.8 < np.exp(log_softmax(logits, axis=1)).max(axis=1).mean() < 0.99


def test_the_shrinkage_is_that_of_the_least_log_loss_on_images_kept_apart() -> None:
    rng = np.random.default_rng(0)
    chosen = []
    for count in (40, 6000):  # few images need a simpler covariance than many
        labels = rng.integers(0, 3, count)
        stretch = np.geomspace(0.5, 1.5, 100)
        features = (rng.normal(size=(count, 100)) * stretch + 0.3 * labels[:, None]).astype(
            np.float32
        )
        shrinkage = choose_shape(features, labels, 3).shrinkage
        held = np.arange(count) % 5 == 0
        losses = {}
        for candidate in SHRINKAGES:
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=candidate).fit(
                features[~held], labels[~held]
            )
            logits = model.decision_function(features[held])
            factors = np.exp(np.linspace(-6, 2, 400))
            at = [
                -log_softmax(logits * f, axis=1)[np.arange(held.sum()), labels[held]].mean()
                for f in factors
            ]
            losses[candidate] = min(at)
        assert losses[shrinkage] <= min(losses.values()) + 1e-3
        chosen.append(shrinkage)
    assert chosen[0] > chosen[1]


def test_the_probes_head_gives_a_class_that_it_has_not_seen_a_low_chance() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 2] * 20)
    features = rng.normal(size=(40, 1024)).astype(np.float32)
    classifier = build_classifier("torchvision/shufflenet_v2_x0_5", 3, "none")
    fit_head(classifier, features, labels)
    with torch.no_grad():
        chances = classifier.head_layer(torch.from_numpy(features)).softmax(dim=1)
    assert (chances[:, 1] < 0.01).all()


def test_of_very_many_images_some_judge_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def sharpen(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
        judged.append(len(labels))
        return sharpen_as_it_is(logits, labels)

    sharpen_as_it_is = head._sharpen
    monkeypatch.setattr(head, "_sharpen", sharpen)
    monkeypatch.setattr(head, "HELD_MOST", 100)
    rng = np.random.default_rng(0)
    for count, expected in ((400, 80), (3000, 100)):
        labels = rng.integers(0, 3, count)
        features = (rng.normal(size=(count, 10)) + labels[:, None]).astype(np.float32)
        judged.clear()
        choose_shape(features, labels, 3)
        assert set(judged) == {expected}
