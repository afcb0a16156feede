"""TODO stats.label_issues"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import BestiaryError


@dataclass(frozen=True, slots=True)
class LabelIssues:
    """What the probabilities say of the labels.

    Attributes:
        suspects: rows whose labels are probably wrong, the most doubtful first (suspects,).
        suggested: the most probable class of each image, its own label's apart (images,).
        quality: how well each label fits (images,): its probability, 0 to 1.
    """

    suspects: NDArray[np.int64]
    suggested: NDArray[np.int64]
    quality: NDArray[np.float64]


def find_label_issues(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> LabelIssues:
    """The labels that are probably wrong.

    Args:
        probabilities: (images, classes), each row from a network that has not seen the image.
        labels: class numbers (images,), every class at least once.

    Raises:
        BestiaryError: cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues as find
    except ImportError:
        raise BestiaryError(
            "labels: needs the library cleanlab; pip install 'bestiary[audit]'"
        ) from None
    # Of the library's rules this ranked planted wrong labels best: on caltech-creatures, 3 % wrong,
    # frozen features, of the first suspects, as many as planted, 0.87 to 0.92 were planted ones
    # (three seeds), by its default rule 0.68 to 0.75: a label that the network finds impossible is
    # more suspect than one of two that it cannot choose between.
    wrong = find(labels, probabilities, filter_by="low_self_confidence", n_jobs=1)
    quality = probabilities[np.arange(len(labels)), labels]
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1
    suspects = np.flatnonzero(wrong)
    return LabelIssues(
        suspects[np.argsort(quality[suspects], kind="stable")], others.argmax(axis=1), quality
    )
