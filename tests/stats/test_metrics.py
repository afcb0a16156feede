"""Metrics agree with scikit-learn: top-k, log loss, Brier, confusion, F1, reliability."""

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
def test_top_k_is_sklearns(k: int) -> None:
    hits = metrics.top_k_hits(PROBABILITIES, LABELS, k)
    if k < 6:
        assert hits.mean() == reference.top_k_accuracy_score(LABELS, PROBABILITIES, k=k)
    else:
        assert hits.all()


def test_top_k_ties_prefer_earlier_class() -> None:
    even = np.full((1, 3), 1 / 3)
    hits = [bool(metrics.top_k_hits(even, np.array([label]), 1)[0]) for label in range(3)]
    assert hits == [True, False, False]


def test_log_loss_and_brier_are_sklearns() -> None:
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


def test_confusion_and_class_scores_are_sklearns() -> None:
    assert (reference.confusion_matrix(LABELS, PREDICTED) == COUNTS).all()
    scores = metrics.class_scores(COUNTS)
    precision, recall, f1, support = reference.precision_recall_fscore_support(LABELS, PREDICTED)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1, f1)
    assert (scores.support == support).all()


def test_balanced_accuracy_macro_f1_with_absent_class() -> None:
    for rows in (slice(None), LABELS != 3):
        labels = LABELS[rows]
        predicted = PREDICTED[rows]
        counts = metrics.confusion(predicted, labels, 6)
        hits = np.diag(counts).astype(float)
        support = counts.sum(axis=1).astype(float)
        n_predicted = counts.sum(axis=0).astype(float)
        assert metrics.macro_f1(hits, support, n_predicted) == pytest.approx(
            reference.f1_score(labels, predicted, average="macro", zero_division=0)
        )
        present = np.unique(labels)
        recall = reference.recall_score(labels, predicted, labels=present, average="macro")
        assert metrics.balanced_accuracy(hits, support) == pytest.approx(recall)


def test_class_scores_of_empty_class_are_zero() -> None:
    scores = metrics.class_scores(np.array([[3, 0, 0], [2, 0, 0], [0, 0, 0]]))
    assert scores.precision.tolist() == [0.6, 0.0, 0.0]
    assert scores.recall.tolist() == [1.0, 0.0, 0.0]


def test_reliability_bins_and_ece() -> None:
    confidence = np.linspace(0.5, 1, 100)
    hits = np.arange(100) % 2 == 0
    diagram = metrics.reliability(confidence, hits, bins=4)
    assert diagram.images.tolist() == [25] * 4
    assert diagram.ece == pytest.approx(np.abs(diagram.confidence - diagram.accuracy).mean())
    assert metrics.reliability(confidence, hits, bins=1).ece == pytest.approx(0.25)
    assert metrics.reliability(confidence[:3], hits[:3]).images.tolist() == [1, 1, 1]
