"""Out-of-fold probabilities and labels -> label issues: labels that are probably wrong.

Confident learning estimates how many labels are wrong (Northcutt, Jiang and Chuang 2021,
doi:10.1613/jair.1.12125). The suspects are that many labels with the lowest probability. Both
steps are the cleanlab library's. Knows nothing of networks, runs or files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import BestiaryError

# Of cleanlab's rules this one ranks planted wrong labels best (benchmarks/honesty/wrong_labels.py).
# On caltech-creatures with 3 % wrong labels, 0.87 to 0.92 of the first suspects are planted ones;
# the library's default rule reaches 0.68 to 0.75. This rule prefers labels with a low probability
# to labels that the network cannot tell from a second one.
FILTER_RULE = "low_self_confidence"


@dataclass(frozen=True, slots=True)
class LabelIssues:
    """What out-of-fold probabilities say about the labels.

    Attributes:
        suspects: rows of labels that are probably wrong (suspects,), most suspect first.
        suggested: most probable class of each image other than its label (images,).
        quality: probability of each image's label (images,), 0 to 1.
    """

    suspects: NDArray[np.int64]
    suggested: NDArray[np.int64]
    quality: NDArray[np.float64]


def find_label_issues(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> LabelIssues:
    """Find the labels that are probably wrong.

    Args:
        probabilities: (images, classes), each row from a network that was not trained on the image.
        labels: class numbers (images,); every class occurs at least once.

    Returns:
        The suspects, with a suggested class and a quality for every image.

    Raises:
        BestiaryError: cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues as find
    except ImportError:
        raise BestiaryError(
            "labels: needs the library cleanlab; pip install 'bestiary[audit]'"
        ) from None
    is_suspect = find(labels, probabilities, filter_by=FILTER_RULE, n_jobs=1)

    # Sort the suspects by the probability of their label
    images = np.arange(len(labels))
    quality = probabilities[images, labels]
    suspects = np.flatnonzero(is_suspect)
    order = np.argsort(quality[suspects], kind="stable")

    # Suggest the most probable of the other classes
    others = probabilities.copy()
    others[images, labels] = -1
    return LabelIssues(
        suspects=suspects[order],
        suggested=others.argmax(axis=1),
        quality=quality,
    )
