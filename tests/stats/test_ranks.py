"""The lowest rank that is sure: sums up the tree, thresholds by level, and the promise kept."""

import numpy as np
import pytest

from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import NEVER
from bestiary.stats.ranks import fit_thresholds, lowest_sure, rank_scores, sum_up

LEVELS = [np.arange(6), np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 1, 1])]


def simulate(seed: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of classes that are confused within their genus, and labels."""
    rng = np.random.default_rng(seed)
    center = rng.integers(0, 6, images)
    near = LEVELS[1] == LEVELS[1][center][:, None]
    logits = 4.0 * near + rng.exponential(2.0, (images, 1)) * np.eye(6)[center]
    probabilities = softmax(logits)
    labels = (rng.random((images, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return probabilities, np.minimum(labels, 5)


def test_sums_are_probabilities() -> None:
    probabilities, _ = simulate(0, 50)
    for taxon_of in LEVELS:
        np.testing.assert_allclose(sum_up(probabilities, taxon_of).sum(axis=1), 1)


@pytest.mark.parametrize("seed", range(5))
def test_promise_is_kept(seed: int) -> None:
    fitted = fit_thresholds(*simulate(seed, 3000), LEVELS)
    probabilities, labels = simulate(seed + 100, 20_000)
    level, taxon, sure = lowest_sure(probabilities, LEVELS, fitted[0.05])
    answered = 0
    for number, taxon_of in enumerate(LEVELS):
        is_here = level == number
        if is_here.any():
            answered += is_here.sum()
            assert (taxon[is_here] != taxon_of[labels[is_here]]).mean() < 0.06
            assert (sure[is_here] >= fitted[0.05][number]).all()
    assert answered > (level == 0).sum() > 0  # higher ranks answer more images


def test_nothing_sure() -> None:
    probabilities, _ = simulate(0, 10)
    level, _, _ = lowest_sure(probabilities, LEVELS, [NEVER] * 3)
    assert (level == 3).all()


def test_lowest_level_wins() -> None:
    level, taxon, sure = lowest_sure(np.array([[0.5, 0.4, 0.1, 0, 0, 0]]), LEVELS, [0.6, 0.8, 0.5])
    assert (level[0], taxon[0]) == (1, 0) and sure[0] == pytest.approx(0.9)


def test_scores_by_rank() -> None:
    probabilities, labels = simulate(3, 3000)
    parts = np.arange(3000) % 5
    rows = rank_scores(probabilities, labels, LEVELS, parts, np.arange(3000), 0.05)
    accuracies = [row["all"]["value"] for row in rows]
    assert accuracies == sorted(accuracies)
    assert 0 < sum(row["share"] for row in rows) <= 1
    assert all(row["promised"] is None or row["promised"]["value"] > 0.9 for row in rows)
