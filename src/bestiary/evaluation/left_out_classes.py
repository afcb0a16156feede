"""A run's cached features -> how well it tells unknown classes: each is left out in turn.

Heads are fitted without a class, or without a group of look-alikes, and then see its images. The
features are those of the frozen network that the run started from, projected on their main
directions. Of a part's moments only the left-out classes are taken away, so one set takes
hundredths of a second. What a frozen network has learned from its own pretraining, it knows here
too. Computes no feature.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.recipe.options import Recipe
from bestiary.rng import keyed_rng
from bestiary.stats.crossfit import crossfit_parts
from bestiary.stats.left_out import LeftOutSet, judge_set
from bestiary.stats.look_alikes import look_alike_groups
from bestiary.stats.metrics import confusion as confusion_matrix
from bestiary.stats.ood import crossfit_scores
from bestiary.stats.vectors import main_directions
from bestiary.training.frozen_features import cached_features
from bestiary.training.lda_head import LdaParams, Moments, finite, lda_layer, tune_lda

MIN_CLASSES = 4  # what is left of three classes says little
MIN_PER_CLASS = 10  # images of a class, on average
MAX_SETS = 60  # classes and groups that are left out; of more, some are drawn
MAX_IMAGES = 6_000  # of more, some are drawn
DIMENSIONS = 256  # of the projected features

Vectors = NDArray[np.float64]
Labels = NDArray[np.int64]


def leave_classes_out(recipe: Recipe, out_of_fold: OutOfFold) -> list[LeftOutSet]:
    """Leave out every class and every group of look-alikes in turn.

    Args:
        recipe: of the run.
        out_of_fold: its out-of-fold logits.

    Returns:
        One result a set; none where the features are not in the cache, or there are too few images
        or classes.
    """
    images = out_of_fold.without_conflicts()
    classes = len(images.classes)
    if classes < MIN_CLASSES or len(images.labels) < MIN_PER_CLASS * classes:
        return []
    features = cached_features(recipe, images.table["sha256"].to_list())
    if features is None:
        return []
    parts = crossfit_parts(images.folds, images.groups)
    predicted = images.logits.argmax(axis=1)
    confusion = confusion_matrix(predicted, images.labels, classes)
    rows = _drawn(len(images.labels))
    return list(left_out_sets(features[rows], images.labels[rows], parts[rows], confusion))


def left_out_sets(
    features: NDArray[np.float32], labels: Labels, parts: Labels, confusion: Labels
) -> Iterator[LeftOutSet]:
    """Judge each set of left-out classes.

    Args:
        features: (images, features) of the frozen network.
        labels: class numbers (images,).
        parts: fold, or cross-fitting part, of each image (images,), at least two.
        confusion: confusion matrix of the run (classes, classes), for its look-alikes.

    Yields:
        The result of each set whose images can be scored.
    """
    projected = main_directions(features, DIMENSIONS)
    is_fitted = parts != parts[0]
    params = tune_lda(projected[is_fitted], labels[is_fitted], len(confusion), True)
    moments = part_moments(projected, labels, parts, len(confusion))
    for left_out in _sets(confusion):
        is_known = ~np.isin(labels, left_out)
        kept, codes = np.unique(labels[is_known], return_inverse=True)
        if len(kept) < 2 or is_known.all():
            continue
        known_labels = np.full(len(labels), -1)
        known_labels[is_known] = codes
        logits = cross_fitted_without(left_out, projected, labels, parts, moments, params)
        scores = crossfit_scores(logits, known_labels, parts, parts)
        yield judge_set(left_out, scores[is_known], scores[~is_known])


def _sets(confusion: Labels) -> list[list[int]]:
    """List every class, and every group of look-alikes that leaves two classes or more."""
    single = [[number] for number in range(len(confusion))]
    groups = [sorted(group.classes) for group in look_alike_groups(confusion)[0]]
    sets = single + [group for group in groups if len(group) <= len(confusion) - 2]
    if len(sets) <= MAX_SETS:
        return sets
    drawn = keyed_rng(0, "left-out sets").choice(len(sets), MAX_SETS, replace=False)
    return [sets[number] for number in np.sort(drawn)]


def _drawn(images: int) -> Labels:
    if images <= MAX_IMAGES:
        return np.arange(images)
    return np.sort(keyed_rng(0, "left-out images").choice(images, MAX_IMAGES, replace=False))


def part_moments(
    features: NDArray[np.float32], labels: Labels, parts: Labels, classes: int
) -> dict[int, Moments]:
    """Compute what the head of each part is fitted to: the moments of the other parts' images.

    Args:
        features: (images, features).
        labels: class numbers (images,).
        parts: cross-fitting part of each image (images,).
        classes: number of classes.
    """
    return {
        int(part): Moments.of(features[parts != part], labels[parts != part], classes)
        for part in np.unique(parts)
    }


def cross_fitted_without(
    left_out: list[int],
    features: NDArray[np.float32],
    labels: Labels,
    parts: Labels,
    moments: dict[int, Moments],
    params: LdaParams,
) -> Vectors:
    """Compute logits by heads of the other parts that do not know some classes.

    Args:
        left_out: class numbers.
        features: (images, features).
        labels: class numbers (images,).
        parts: cross-fitting part of each image (images,).
        moments: of all classes, by `part_moments`.
        params: of the heads.

    Returns:
        Logits (images, other classes), of left-out images too.
    """
    is_left_out = np.isin(labels, left_out)
    kept = np.setdiff1d(labels, left_out)
    logits = np.empty((len(labels), len(kept)))
    for part, of_all in moments.items():
        is_val = parts == part
        removed = is_left_out & ~is_val
        rest = of_all.without(features[removed], labels[removed], kept)
        weights, biases = lda_layer(rest, params)
        logits[is_val] = features[is_val] @ weights.T + finite(biases)
    return logits
