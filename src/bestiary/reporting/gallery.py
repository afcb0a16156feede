"""Results -> the example images of a report, chosen by confidence and shrunk to thumbnails.

Also orders the classes for the confusion matrix. Computes no score.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from bestiary.cores import cores
from bestiary.data.thumbnails import image_uri
from bestiary.evaluation.results import Results
from bestiary.storage.files import Root

Rows = NDArray[np.int64]
Counts = NDArray[np.int64]

MAX_MISTAKES = 1200  # mistakes shown with an image, most confident first: about 4 MB
SMALL_SIDE = 88  # pixels of the long side of a thumbnail
TYPICAL_PER_CLASS = 3  # confidently right images shown for each class
MAX_OPTIMAL_CLASSES = 300  # the optimal leaf order takes the cube of the number of classes


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of the results to show as examples.

    Attributes:
        mistakes: all wrong predictions, most confident first.
        unsure: all right predictions, least confident first.
        typical: class index -> its right predictions of highest confidence.
    """

    mistakes: Rows
    unsure: Rows
    typical: dict[int, Rows]


class Gallery:
    """Thumbnails of a page, read on all cores; each image is stored once.

    Args:
        root: the folder that paths are relative to.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.uris: dict[str, str] = {}  # path -> data URI; empty if missing or damaged

    def add(self, paths: Iterable[str], side: int = SMALL_SIDE) -> None:
        """Read and shrink the images that the gallery does not have yet.

        Args:
            paths: paths below the root.
            side: pixels of the long side.
        """
        new = [path for path in dict.fromkeys(paths) if path not in self.uris]

        def thumbnail(path: str) -> str:
            return image_uri(self.root / path, side)

        with ThreadPoolExecutor(cores()) as pool:
            self.uris |= zip(new, pool.map(thumbnail, new), strict=True)


def choose_examples(results: Results) -> Examples:
    """Choose the mistakes, the unsure hits and the typical images.

    Args:
        results: the results of a run.

    Returns:
        Rows of the results.
    """
    unsure = _by_confidence(results, results.hits)
    return Examples(
        mistakes=_by_confidence(results, ~results.hits, descending=True),
        unsure=unsure,
        typical=_typical_rows(results, unsure[::-1]),
    )


def _by_confidence(
    results: Results, chosen: NDArray[np.bool_], *, descending: bool = False
) -> Rows:
    """Rows of the `chosen` images (images,), sorted by confidence."""
    rows = np.flatnonzero(chosen)
    confidence = results.confidence[rows]
    return rows[np.argsort(-confidence if descending else confidence, kind="stable")]


def _typical_rows(results: Results, surest_hits: Rows) -> dict[int, Rows]:
    labels = results.labels[surest_hits]
    return {
        index: surest_hits[labels == index][:TYPICAL_PER_CLASS]
        for index in range(len(results.classes))
    }


def order_by_confusion(counts: Counts) -> list[int]:
    """Order the classes so that confused classes are next to each other.

    Average linkage with optimal leaf ordering (Bar-Joseph, Gifford and Jaakkola 2001,
    doi:10.1093/bioinformatics/17.suppl_1.S22), up to `MAX_OPTIMAL_CLASSES` classes.

    Args:
        counts: confusion matrix (classes, classes).

    Returns:
        Class indices.
    """
    if len(counts) < 3:
        return list(range(len(counts)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    distance = 1 - np.minimum((shares + shares.T) / 2, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(
        squareform(distance, checks=False),
        "average",
        optimal_ordering=len(counts) <= MAX_OPTIMAL_CLASSES,
    )
    return [int(index) for index in leaves_list(tree)]
