"""The scores are scikit-learn's, where it has them."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from bestiary.stats import metrics

RNG = np.random.default_rng(0)
LABELS = RNG.integers(6, size=300)
LOGITS = RNG.standard_normal((300, 6)) + 1.5 * np.eye(6)[LABELS]
PROBABILITIES = softmax(LOGITS, axis=1)
PREDICTED = PROBABILITIES.argmax(axis=1)
COUNTS = metrics.confusion(PREDICTED, LABELS, 6)


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_top_k_is_scikit_learns(k: int) -> None:
    hits = metrics.top_k_hits(PROBABILITIES, LABELS, k)
    if k < 6:
        assert hits.mean() == reference.top_k_accuracy_score(LABELS, PROBABILITIES, k=k)
    else:
        assert hits.all()


def test_of_equal_probabilities_the_earlier_class_comes_first() -> None:
    even = np.full((1, 3), 1 / 3)
    assert [bool(metrics.top_k_hits(even, np.array([label]), 1)[0]) for label in range(3)] == [
        True,
        False,
        False,
    ]


def test_log_loss_and_brier_are_scikit_learns() -> None:
    assert metrics.log_losses(PROBABILITIES, LABELS).mean() == pytest.approx(
        reference.log_loss(LABELS, PROBABILITIES)
    )
    brier = np.mean(((PROBABILITIES - np.eye(6)[LABELS]) ** 2).sum(axis=1))
    assert metrics.brier_scores(PROBABILITIES, LABELS).mean() == pytest.approx(brier)
    two = PROBABILITIES[:, :2] / PROBABILITIES[:, :2].sum(axis=1, keepdims=True)
    labels = (LABELS > 2).astype(np.int64)
    assert metrics.brier_scores(two, labels).mean() / 2 == pytest.approx(
        reference.brier_score_loss(labels, two[:, 1])
    )
    assert np.isfinite(metrics.log_losses(np.array([[1.0, 0.0]]), np.array([1]))).all()


def test_confusion_and_class_scores_are_scikit_learns() -> None:
    assert (reference.confusion_matrix(LABELS, PREDICTED) == COUNTS).all()
    found = metrics.class_scores(COUNTS)
    precision, recall, f1, support = reference.precision_recall_fscore_support(LABELS, PREDICTED)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    assert (found.support == support).all()


def test_balanced_accuracy_and_macro_f1_are_scikit_learns_also_where_a_class_is_absent() -> None:
    for part in (slice(None), LABELS != 3):
        labels, predicted = LABELS[part], PREDICTED[part]
        counts = metrics.confusion(predicted, labels, 6)
        hits, support, taken = (
            values.astype(float) for values in (np.diag(counts), counts.sum(1), counts.sum(0))
        )
        assert metrics.macro_f1(hits, support, taken) == pytest.approx(
            reference.f1_score(labels, predicted, average="macro", zero_division=0)
        )
        present = np.unique(labels)
        recall = reference.recall_score(labels, predicted, labels=present, average="macro")
        assert metrics.balanced_accuracy(hits, support) == pytest.approx(recall)


def test_a_class_never_predicted_or_without_images_scores_zero() -> None:
    found = metrics.class_scores(np.array([[3, 0, 0], [2, 0, 0], [0, 0, 0]]))
    assert found.precision.tolist() == [0.6, 0.0, 0.0]
    assert found.recall.tolist() == [1.0, 0.0, 0.0]


def test_reliability_has_bins_of_as_many_images_and_ece_is_their_mean_gap() -> None:
    confidence = np.linspace(0.5, 1, 100)
    hits = np.arange(100) % 2 == 0
    diagram = metrics.reliability(confidence, hits, bins=4)
    assert diagram.images.tolist() == [25] * 4
    assert diagram.ece == pytest.approx(np.abs(diagram.confidence - diagram.accuracy).mean())
    assert metrics.reliability(confidence, hits, bins=1).ece == pytest.approx(0.25)
    assert metrics.reliability(confidence[:3], hits[:3]).images.tolist() == [1, 1, 1]
