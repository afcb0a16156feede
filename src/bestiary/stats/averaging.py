"""Logits of the ensemble's members -> one set of probabilities: the averaging rules.

Pure functions of arrays. Knows nothing of calibration, networks or runs.
"""

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bestiary.recipe.choices import Average

AVERAGES: tuple[Average, ...] = get_args(Average)

# Too small to outweigh a vote, large enough to decide between classes with equal votes.
TIE_BREAK = 1e-3


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probabilities of logits (..., classes)."""
    highest = logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(logits.astype(np.float64) - highest)
    totals = exponentials.sum(axis=-1, keepdims=True)
    return np.asarray(exponentials / totals)


def average(
    logits: NDArray[np.floating],
    rule: Average = "logits",
) -> NDArray[np.float64]:
    """Average the members of an ensemble.

    Args:
        logits: (members, images, classes).
        rule: ``logits`` averages logits, which is a geometric mean of probabilities.
            ``probabilities`` averages probabilities. ``vote`` counts each member's first choice;
            the mean probability breaks ties.

    Returns:
        Probabilities (images, classes), each row summing to 1.
    """
    if rule == "logits":
        mean_logits = logits.astype(np.float64).mean(axis=0)
        return softmax(mean_logits)

    mean_probabilities = softmax(logits).mean(axis=0)
    if rule == "probabilities":
        return np.asarray(mean_probabilities)

    # One vote for the first choice of each member
    votes = np.zeros_like(mean_probabilities)
    images = np.arange(len(votes))
    for choices in logits.argmax(axis=2):
        votes[images, choices] += 1

    n_members = len(logits)
    scores = votes + TIE_BREAK * mean_probabilities
    return np.asarray(scores / (n_members + TIE_BREAK))


def member_agreement(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Compute the share of members whose first choice is the label.

    Args:
        logits: (members, images, classes).
        labels: class numbers (images,).

    Returns:
        Shares (images,), 0 to 1.
    """
    choices = logits.argmax(axis=2)
    is_label = choices == labels
    return np.asarray(is_label.mean(axis=0))
