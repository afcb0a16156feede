"""LDA head against scikit-learn's, and how its hyperparameters are tuned."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bestiary.model.classifier import build_classifier
from bestiary.training import lda_head
from bestiary.training.head import set_head
from bestiary.training.lda_head import (
    SHRINKAGES,
    LdaParams,
    Moments,
    fit_lda,
    lda_layer,
    tune_lda,
)

SHUFFLENET = "torchvision/shufflenet_v2_x0_5"  # 1,024 features
Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def sklearn_lda(features: Features, labels: Labels, shrinkage: float) -> LinearDiscriminantAnalysis:
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(features, labels)


@pytest.mark.parametrize("classes", [2, 5])
def test_fit_lda_is_sklearns_lda(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 80)
    features = (rng.normal(size=(80, 1024)) + 0.1 * labels[:, None]).astype(np.float32)
    classifier = build_classifier(SHUFFLENET, classes, "none")
    set_head(classifier, fit_lda(features, labels, classifier.head_layer.out_features))
    params = tune_lda(features, labels, classes)
    with torch.no_grad():
        logits = classifier.head_layer(torch.from_numpy(features))
        ours = logits.double().log_softmax(dim=1).numpy()
    # The posteriors differ by the logit scale only, which sets the confidence on new images.
    decision = sklearn_lda(features, labels, params.shrinkage).decision_function(features)
    scaled = decision * params.logit_scale
    if classes == 2:
        scaled = np.stack([-scaled / 2, scaled / 2], axis=1)
    np.testing.assert_allclose(ours, log_softmax(scaled, axis=1), atol=1e-3)
    assert 0 < params.logit_scale < 1


def test_tau_norm_predicts_a_rare_class() -> None:
    """Priors are equal here, so only the length of the rare class's mean matters."""
    rng = np.random.default_rng(0)
    recalls: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(10):
        centers = 0.25 * rng.normal(size=(5, 200))
        labels = np.repeat(np.arange(5), [100, 100, 100, 100, 5])
        features, new = (
            (centers[of] + rng.normal(size=(len(of), 200))).astype(np.float32)
            for of in (labels, np.repeat(4, 500))
        )
        for head_tau_norm, shares in recalls.items():
            params = tune_lda(features, labels, 5, head_tau_norm)
            weights, biases = lda_layer(Moments.of(features, labels, 5), params, 1.0)
            predicted = (new @ weights.T + biases).argmax(axis=1)
            shares.append(float((predicted == 4).mean()))
    plain = np.mean(recalls[False])
    normalized = np.mean(recalls[True])
    assert plain < 0.2, "the rare class is missed"
    assert normalized > plain + 0.2


def test_tau_is_0_for_steps_of_one_scale() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 1500)
    features = rng.normal(size=(1500, 20)).astype(np.float32)
    features[:, 0] += 2 * labels  # the mean of the middle class is the center
    assert tune_lda(features, labels, 5, head_tau_norm=True).tau == 0


def test_logit_scale_is_bounded_if_all_are_right() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = (rng.normal(size=(40, 8)) + 20 * labels[:, None]).astype(np.float32)
    params = tune_lda(features, labels, 2)
    weights, biases = lda_layer(Moments.of(features, labels, 2), params)
    logits = features @ weights.T + biases
    assert (logits.argmax(axis=1) == labels).all()
    # There are eight validation images: the ninth may be wrong.
    confidence = np.exp(log_softmax(logits, axis=1)).max(axis=1).mean()
    assert 0.8 < confidence < 0.99


def lowest_log_loss(features: Features, labels: Labels, shrinkage: float) -> float:
    """Log loss of scikit-learn's LDA on every fifth image, at the best logit scale."""
    is_val = np.arange(len(labels)) % 5 == 0
    model = sklearn_lda(features[~is_val], labels[~is_val], shrinkage)
    logits = model.decision_function(features[is_val])
    images = np.arange(is_val.sum())
    losses = [
        -log_softmax(logits * scale, axis=1)[images, labels[is_val]].mean()
        for scale in np.exp(np.linspace(-6, 2, 400))
    ]
    return float(min(losses))


def test_shrinkage_has_the_lowest_log_loss() -> None:
    rng = np.random.default_rng(0)
    shrinkages = []
    for images in (40, 6000):  # few images need more shrinkage than many
        labels = rng.integers(0, 3, images)
        stretch = np.geomspace(0.5, 1.5, 100)
        noise = rng.normal(size=(images, 100)) * stretch
        features = (noise + 0.3 * labels[:, None]).astype(np.float32)
        shrinkage = tune_lda(features, labels, 3).shrinkage
        losses = {
            candidate: lowest_log_loss(features, labels, candidate) for candidate in SHRINKAGES
        }
        assert losses[shrinkage] <= min(losses.values()) + 1e-3
        shrinkages.append(shrinkage)
    assert shrinkages[0] > shrinkages[1]


def test_class_without_images_is_improbable() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 2] * 20)
    features = rng.normal(size=(40, 1024)).astype(np.float32)
    classifier = build_classifier(SHUFFLENET, 3, "none")
    set_head(classifier, fit_lda(features, labels, classifier.head_layer.out_features))
    with torch.no_grad():
        probabilities = classifier.head_layer(torch.from_numpy(features)).softmax(dim=1)
    assert (probabilities[:, 1] < 0.01).all()


def test_validation_images_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    fit_logit_scale = lda_head.fit_logit_scale

    def record_count(logits: NDArray[np.float64], labels: Labels) -> tuple[float, float]:
        counts.append(len(labels))
        return fit_logit_scale(logits, labels)

    monkeypatch.setattr(lda_head, "fit_logit_scale", record_count)
    monkeypatch.setattr(lda_head, "MAX_VAL_IMAGES", 100)
    rng = np.random.default_rng(0)
    for images, expected in ((400, 80), (3000, 100)):
        labels = rng.integers(0, 3, images)
        features = (rng.normal(size=(images, 10)) + labels[:, None]).astype(np.float32)
        counts.clear()
        tune_lda(features, labels, 3)
        assert set(counts) == {expected}


def test_adjusted_lda_has_sklearns_covariance() -> None:
    """Logit adjustment of 1 leaves equal priors."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 20, 5])
    features = (rng.normal(size=(85, 6)) + labels[:, None]).astype(np.float32)
    moments = Moments.of(features, labels, 3)
    weights, biases = lda_layer(moments, LdaParams(0.3), 1.0)
    precision = np.linalg.inv(sklearn_lda(features, labels, 0.3).covariance_)
    squares = np.einsum("cf,fg,cg->c", moments.means, precision, moments.means)
    expected = features @ precision @ moments.means.T - 0.5 * squares
    assert_equal_up_to_a_constant(features @ weights.T + biases, expected)


def test_tau_sets_the_lengths_of_means() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), [60, 20, 5, 2])
    features = (rng.normal(size=(87, 6)) + rng.normal(size=(4, 6))[labels]).astype(np.float32)
    moments = Moments.of(features, labels, 4)
    covariance = sklearn_lda(features, labels, 0.3).covariance_
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    center = moments.means.mean(axis=0)
    means = (moments.means - center) @ whiten.T
    points = (features - center) @ whiten.T
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    for tau in (0.0, 0.5, 1.0):
        scaled = means * (np.sqrt(np.mean(lengths**2)) / lengths) ** tau
        expected = -0.5 * ((points[:, None] - scaled) ** 2).sum(axis=2)  # nearest mean
        weights, biases = lda_layer(moments, LdaParams(0.3, tau), 1.0)
        assert_equal_up_to_a_constant(features @ weights.T + biases, expected)


def assert_equal_up_to_a_constant(ours: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Compare logits (images, classes), except for a constant of each image."""
    np.testing.assert_allclose(
        ours - ours[:, :1],
        expected - expected[:, :1],
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize("left_out", [[1], [0, 3], [2, 4]])
def test_moments_without_classes(left_out: list[int]) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 90)  # class 4 has no image
    features = (rng.normal(size=(90, 12)) + 5 * labels[:, None]).astype(np.float32)
    removed = np.isin(labels, left_out)
    kept = np.setdiff1d(np.arange(5), left_out)
    without = Moments.of(features, labels, 5).without(features[removed], labels[removed], kept)
    rest = Moments.of(features[~removed], np.searchsorted(kept, labels[~removed]), len(kept))
    np.testing.assert_array_equal(without.counts, rest.counts)
    np.testing.assert_allclose(without.means, rest.means, rtol=1e-12)
    np.testing.assert_allclose(without.covariance, rest.covariance, atol=1e-5)
    assert without.dimensions == rest.dimensions
