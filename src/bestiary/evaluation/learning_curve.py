"""A run's cached features -> its accuracy with fewer images, over several draws.

For each draw, one fold is held out, and heads are fitted to nested parts of the others: groups are
drawn whole, each class in proportion. The features are those of the frozen network that the run
started from, so fine-tuning is not part of it. Computes no feature.
"""

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.results import Results
from bestiary.rng import keyed_rng
from bestiary.stats.learning_curve import LearningCurve
from bestiary.training.frozen_features import cached_features
from bestiary.training.lda_head import fit_lda

SHARES = np.array([0.125, 0.25, 0.5, 1.0])  # evenly spaced for a power law
DRAWS = 5
MIN_PER_CLASS = 8  # training images of a class, on average: fewer cannot be divided by 8
MAX_IMAGES = 12_000  # of a curve; more are drawn from


def learning_curve(results: Results) -> LearningCurve | None:
    """Measure what fewer images would have given.

    Args:
        results: out-of-fold results of a run.

    Returns:
        The curve; None where the features are not in the cache, the run has fewer than two folds,
        or the classes have too few images.
    """
    folds = np.unique(results.folds)
    if len(folds) < 2 or len(results.labels) * (1 - 1 / len(folds)) < MIN_PER_CLASS * len(
        results.classes
    ):
        return None
    features = cached_features(results.snapshot.recipe, results.table["sha256"].to_list())
    if features is None:
        return None
    return curve_of(features, results.labels, results.groups, results.folds, len(results.classes))


def curve_of(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: NDArray[np.int64],
    classes: int,
) -> LearningCurve:
    """Fit heads to parts of the images, and score them on the fold held out.

    Args:
        features: (images, features) of the frozen network.
        labels: class numbers (images,).
        groups: group number of each image (images,).
        folds: fold of each image (images,), at least two.
        classes: number of classes.

    Returns:
        The curve.
    """
    numbers = np.unique(folds)
    hits = np.zeros((DRAWS, len(SHARES), classes), np.int64)
    scored = np.zeros((DRAWS, classes), np.int64)
    sizes = np.zeros((DRAWS, len(SHARES)))
    for draw in range(DRAWS):
        is_val = folds == numbers[draw % len(numbers)]
        order = _drawing_order(labels, groups, ~is_val, draw)
        scored[draw] = np.bincount(labels[is_val], minlength=classes)
        for column, share in enumerate(SHARES):
            rows = order[: max(classes, round(share * len(order)))]
            weights, biases = fit_lda(features[rows], labels[rows], classes)
            predicted = (features[is_val] @ weights.T + biases).argmax(axis=1)
            right = labels[is_val][predicted == labels[is_val]]
            hits[draw, column] = np.bincount(right, minlength=classes)
            sizes[draw, column] = len(rows) / classes
    # With fewer folds than draws, some are held out again.
    n_different = int(np.isin(folds, numbers[:DRAWS]).sum())
    repeats = float(scored.sum() / n_different)
    return LearningCurve.of(SHARES, sizes.mean(axis=0), hits, scored, repeats)


def _drawing_order(
    labels: NDArray[np.int64], groups: NDArray[np.int64], is_train: NDArray[np.bool_], draw: int
) -> NDArray[np.int64]:
    """Order the training rows so that every beginning has the classes in proportion.

    Groups stay together within their class.
    """
    rng = keyed_rng(0, "learning curve", draw)
    rows = np.flatnonzero(is_train)
    if len(rows) > MAX_IMAGES:
        rows = np.sort(rng.choice(rows, MAX_IMAGES, replace=False))
    group_key = rng.permutation(int(groups.max()) + 1)[groups[rows]]
    within = np.lexsort((group_key, labels[rows]))
    rows = rows[within]
    positions = np.empty(len(rows))
    for label in np.unique(labels[rows]):
        own = np.flatnonzero(labels[rows] == label)
        positions[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return rows[np.argsort(positions, kind="stable")]
