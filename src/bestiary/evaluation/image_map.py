"""Out-of-fold logits -> a map: every image near those that the network finds alike.

t-SNE (van der Maaten and Hinton 2008) of scikit-learn on the logits. Above `MAX_IMAGES` the map has
all mistakes it has room for and a draw of the rest, so that its time is bounded.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.results import Results
from bestiary.rng import keyed_rng

MAX_IMAGES = 2_000
MAX_MISTAKES = 0.5  # of the images on the map
MIN_IMAGES = 20  # fewer make no map
MAX_DIMENSIONS = 50  # of the logits, by their principal components
ITERATIONS = 500


@dataclass(frozen=True)
class ImageMap:
    """Places of images.

    Attributes:
        rows: rows of the results (images,), rising.
        places: x and y of each, 0 to 1 (images, 2).
        is_complete: whether all images are on the map.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.float64]
    is_complete: bool


def image_map(results: Results) -> ImageMap | None:
    """Place the images of a run.

    Args:
        results: out-of-fold results of a run.

    Returns:
        The map; None with fewer than `MIN_IMAGES` images.
    """
    images = len(results.labels)
    if images < MIN_IMAGES:
        return None
    rows = _chosen_rows(results.hits)
    places = _embed(results.out_of_fold.logits[rows])
    return ImageMap(rows, places, len(rows) == images)


def _chosen_rows(hits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """All rows, or as many mistakes as there is room for and a draw of the hits."""
    if len(hits) <= MAX_IMAGES:
        return np.arange(len(hits))
    rng = keyed_rng(0, "image map")
    mistakes = rng.permutation(np.flatnonzero(~hits))[: int(MAX_IMAGES * MAX_MISTAKES)]
    right = rng.permutation(np.flatnonzero(hits))[: MAX_IMAGES - len(mistakes)]
    return np.sort(np.concatenate([mistakes, right]))


def _embed(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    # The mean over classes says nothing. Log posteriors are compared, as softmax sees them.
    vectors = np.asarray(logits, np.float64)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    dimensions = min(MAX_DIMENSIONS, *vectors.shape)
    if vectors.shape[1] > dimensions:
        vectors = PCA(dimensions, random_state=0).fit_transform(vectors)
    tsne = TSNE(
        perplexity=min(30.0, (len(vectors) - 1) / 3),
        init="pca" if vectors.shape[1] >= 2 else "random",
        max_iter=ITERATIONS,
        random_state=0,
        n_jobs=1,
    )
    places = tsne.fit_transform(vectors).astype(np.float64)
    least = places.min(axis=0)
    return np.asarray((places - least) / np.maximum(places.max(axis=0) - least, 1e-9))
