"""Label issues: wrong labels rank before right ones, and the right class is suggested."""

import numpy as np
import pytest
from scipy.special import softmax

from bestiary.stats.label_issues import find_label_issues

CLASSES = 5


def noisy(
    seed: int, wrong: int = 12, images: int = 400
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that favor the true class, labels of which the first are wrong, true labels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(images) % CLASSES
    logits = rng.normal(0, 1, (images, CLASSES))
    logits[np.arange(images), truth] += 5
    labels = truth.copy()
    labels[:wrong] = (truth[:wrong] + 1 + rng.integers(0, CLASSES - 1, wrong)) % CLASSES
    return softmax(logits, axis=1), labels, truth


@pytest.mark.parametrize("seed", range(3))
def test_label_issues_ranks_wrong_labels_first(seed: int) -> None:
    probabilities, labels, truth = noisy(seed)
    issues = find_label_issues(probabilities, labels)
    assert np.mean(issues.suspects[:12] < 12) >= 0.9
    assert np.mean(issues.suggested[:12] == truth[:12]) >= 0.9
    assert (issues.suggested != labels).all()
    assert (np.diff(issues.quality[issues.suspects]) >= 0).all()
    assert len(issues.suspects) < 30
