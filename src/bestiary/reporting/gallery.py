"""Results -> which images a report shows, as small images that are read once, on all cores.

Chooses and shrinks; scores nothing.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from bestiary.cores import cores
from bestiary.data.thumbnails import image_uri
from bestiary.evaluation.results import Results
from bestiary.storage.files import Root

Rows = NDArray[np.int64]

SHOWN = 1200  # mistakes shown with their images at most, the surest first: about 4 MB
SMALL = 88  # pixels of the long side of a mistake's image
TYPICAL = 2  # images that stand for a class


class Gallery:
    """Images of a page, each held once however often it is shown.

    Args:
        root: folder that the paths start from.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.uris: dict[str, str] = {}  # empty where an image is gone or damaged

    def add(self, paths: Iterable[str], side: int = SMALL) -> None:
        """Read and shrink those of `paths` that are not here yet."""
        new = [path for path in dict.fromkeys(paths) if path not in self.uris]
        with ThreadPoolExecutor(cores()) as pool:
            self.uris |= zip(
                new, pool.map(lambda path: image_uri(self.root / path, side), new), strict=True
            )


def surest_mistakes(results: Results) -> Rows:
    """Rows of the wrong predictions, the surest first."""
    rows = np.flatnonzero(~results.hits)
    return rows[np.argsort(-results.confidence[rows], kind="stable")]


def least_sure_hits(results: Results) -> Rows:
    """Rows of the right predictions, the least sure first."""
    rows = np.flatnonzero(results.hits)
    return rows[np.argsort(results.confidence[rows], kind="stable")]


def typical_rows(results: Results) -> dict[int, Rows]:
    """Class number -> rows of the images that stand for it: right, and the surest."""
    rows = least_sure_hits(results)[::-1]
    return {
        number: rows[results.labels[rows] == number][:TYPICAL]
        for number in range(len(results.classes))
    }


def confused_pairs(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of classes that are taken for each other, most often first, either way counted."""
    both = np.triu(counts + counts.T, 1)
    first, second = np.nonzero(both)
    order = np.argsort(-both[first, second], kind="stable")
    return [(int(first[n]), int(second[n])) for n in order]


def order_by_confusion(counts: NDArray[np.int64]) -> list[int]:
    """The classes in an order that puts those next to each other that are taken for each other.

    Average linkage with the leaves in their best order (Bar-Joseph, Gifford and Jaakkola 2001,
    doi:10.1093/bioinformatics/17.suppl_1.S22).
    """
    if len(counts) < 3:
        return list(range(len(counts)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    distance = 1 - np.minimum((shares + shares.T) / 2, 1)
    np.fill_diagonal(distance, 0)
    # The best order takes the cube of the number of classes; beyond some hundreds any order of the
    # tree must do.
    tree = linkage(
        squareform(distance, checks=False), "average", optimal_ordering=len(counts) <= 300
    )
    return [int(number) for number in leaves_list(tree)]
