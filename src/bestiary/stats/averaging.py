"""Members' logits -> one set of probabilities: the averaging rules, pure functions of arrays."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Average = Literal["logits", "probabilities", "vote"]
AVERAGES: tuple[Average, ...] = get_args(Average)

# Small enough never to outweigh a vote, large enough to decide between classes with as many votes.
TIE_BREAK = 1e-3


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of logits (..., classes)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def average(logits: NDArray[np.floating], rule: Average = "logits") -> NDArray[np.float64]:
    """Put members together.

    Args:
        logits: (members, images, classes).
        rule: ``logits`` averages logits (a geometric mean of probabilities), ``probabilities``
            averages probabilities, ``vote`` counts each member's first choice; as many votes are
            decided by mean probability.

    Returns:
        probabilities (images, classes), each row summing to 1.
    """
    if rule == "logits":
        return softmax(logits.astype(np.float64).mean(axis=0))
    mean = softmax(logits).mean(axis=0)
    if rule == "probabilities":
        return np.asarray(mean)
    votes = np.zeros_like(mean)
    for choice in logits.argmax(axis=2):
        votes[np.arange(len(choice)), choice] += 1
    return np.asarray((votes + TIE_BREAK * mean) / (len(logits) + TIE_BREAK))


def member_agreement(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of the members (0 to 1) whose own first choice is `labels`, for each image."""
    return np.asarray((logits.argmax(axis=2) == labels).mean(axis=0))
