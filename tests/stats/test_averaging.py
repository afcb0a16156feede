"""Averaging rules: softmax, logits, probabilities, vote, member agreement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax as reference
from scipy.stats import gmean

from bestiary.stats.averaging import AVERAGES, average, member_agreement, softmax


def random_logits(seed: int, members: int = 5, images: int = 40, classes: int = 7) -> np.ndarray:
    return (
        np.random.default_rng(seed)
        .normal(scale=3, size=(members, images, classes))
        .astype(np.float32)
    )


def test_softmax_is_scipys() -> None:
    logits = random_logits(0) * 50
    np.testing.assert_allclose(
        softmax(logits), reference(logits.astype(np.float64), axis=-1), atol=1e-12
    )


@given(st.integers(0, 10_000), st.sampled_from(AVERAGES))
def test_average_gives_probabilities(seed: int, rule: str) -> None:
    probabilities = average(random_logits(seed), rule)  # type: ignore[arg-type]
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_average_logits_is_geometric_mean() -> None:
    logits = random_logits(1)
    expected = gmean(softmax(logits), axis=0)
    np.testing.assert_allclose(average(logits), expected / expected.sum(axis=1, keepdims=True))


def test_average_probabilities() -> None:
    logits = random_logits(2)
    np.testing.assert_allclose(average(logits, "probabilities"), softmax(logits).mean(axis=0))


def test_vote_majority_and_tie_break() -> None:
    majority = np.log(np.array([[[0.4, 0.35, 0.25]], [[0.4, 0.35, 0.25]], [[0.01, 0.98, 0.01]]]))
    assert average(majority, "vote").argmax() == 0
    assert average(majority, "probabilities").argmax() == 1
    tie = np.log(np.array([[[0.6, 0.3, 0.1]], [[0.05, 0.9, 0.05]]]))
    assert average(tie, "vote").argmax() == 1


@pytest.mark.parametrize("rule", AVERAGES)
def test_average_of_one_member(rule: str) -> None:
    logits = random_logits(3, members=1)
    assert (average(logits, rule).argmax(axis=1) == logits[0].argmax(axis=1)).all()  # type: ignore[arg-type]


def test_member_agreement() -> None:
    logits = np.eye(3)[[[0, 1], [0, 2], [1, 2], [0, 2]]]  # members x images
    np.testing.assert_allclose(member_agreement(logits, np.array([0, 2])), [0.75, 0.75])
