"""A run's cached features -> how many labels a choice would have saved on its own labeled images.

Some labels are hidden. Heads start from a few images, and more are labeled in rounds, at random or
chosen. The labels saved are those that the choice needs fewer to reach what chance reaches at last.
Computes no feature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.recipe.options import Recipe
from bestiary.rng import keyed_rng
from bestiary.stats.averaging import softmax
from bestiary.stats.batch_choice import choose_batch, doubts
from bestiary.stats.vectors import main_directions
from bestiary.training.frozen_features import cached_features
from bestiary.training.lda_head import Layer, fit_lda

SEEDS = 3
ROUNDS = 6
START_PER_CLASS = 4  # labeled images of a class at the start, on average
ROUND_SHARE = 1 / 12  # of the images to choose from, labeled in a round
MIN_PER_CLASS = 15  # images of a class, on average: with fewer, nothing can be simulated
MIN_GROUPS = 3  # a third of them judges
MAX_IMAGES = 6_000
DIMENSIONS = 128
WORTH_IT = 0.2  # labels saved from which a choice is called a gain

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelingGain:
    """Accuracy by number of labels, chosen at random and by doubt and novelty.

    Attributes:
        labels: labels after each round (rounds,).
        random: accuracy with labels at random (seeds, rounds).
        chosen: accuracy with chosen labels (seeds, rounds).
    """

    labels: NDArray[np.float64]
    random: NDArray[np.float64]
    chosen: NDArray[np.float64]

    @property
    def saved(self) -> float:
        """Share of the labels that the choice saves, the seeds' mean curves compared."""
        return _saved(self.labels, self.random.mean(axis=0), self.chosen.mean(axis=0))

    @property
    def by_seed(self) -> list[float]:
        """The same of each seed alone."""
        pairs = zip(self.random, self.chosen, strict=True)
        return [_saved(self.labels, random, chosen) for random, chosen in pairs]


def _saved(
    labels: NDArray[np.float64], random: NDArray[np.float64], chosen: NDArray[np.float64]
) -> float:
    """Labels saved to reach what chance reaches at last; below 0: the choice never does."""
    reached = np.flatnonzero(chosen >= random[-1])
    if not len(reached):
        return -1.0
    first = int(reached[0])
    if first == 0:
        return float(1 - labels[0] / labels[-1])
    step = (random[-1] - chosen[first - 1]) / (chosen[first] - chosen[first - 1])
    needed = labels[first - 1] + step * (labels[first] - labels[first - 1])
    return float(1 - needed / labels[-1])


def simulate_labeling(recipe: Recipe, out_of_fold: OutOfFold) -> LabelingGain | None:
    """Simulate the choice on a run's own labeled images.

    Args:
        recipe: of the run.
        out_of_fold: its out-of-fold logits, for labels and groups.

    Returns:
        What it gains; None where the features are not cached or there are too few images.
    """
    images = out_of_fold.without_conflicts()
    classes = len(images.classes)
    if classes < 2 or len(images.labels) < MIN_PER_CLASS * classes:
        return None
    if len(np.unique(images.groups)) < MIN_GROUPS:
        return None
    features = cached_features(recipe, images.table["sha256"].to_list())
    if features is None:
        return None
    rows = np.arange(len(images.labels))
    if len(rows) > MAX_IMAGES:
        rows = np.sort(keyed_rng(0, "labeling images").choice(rows, MAX_IMAGES, replace=False))
    vectors = main_directions(features[rows], DIMENSIONS)
    return gain_of(vectors, images.labels[rows], images.groups[rows], classes)


def gain_of(
    vectors: NDArray[np.float32], labels: Labels, groups: Labels, classes: int
) -> LabelingGain:
    """Simulate the choice on labeled vectors.

    Args:
        vectors: (images, features).
        labels: class numbers (images,).
        groups: leak group of each image (images,); a third of the groups judges.
        classes: number of classes.
    """
    random, chosen = [], []
    sizes: list[int] = []
    for seed in range(SEEDS):
        rng = keyed_rng(seed, "labeling")
        _, codes = np.unique(groups, return_inverse=True)
        order = rng.permutation(int(codes.max()) + 1)
        is_test = order[codes] < len(order) // 3
        pool = rng.permutation(np.flatnonzero(~is_test))
        both = []
        for is_chosen in (False, True):
            accuracies, sizes = _rounds(vectors, labels, is_test, pool, classes, is_chosen)
            both.append(accuracies)
        random.append(both[0])
        chosen.append(both[1])
    return LabelingGain(np.array(sizes, np.float64), np.array(random), np.array(chosen))


def _rounds(
    vectors: NDArray[np.float32],
    labels: Labels,
    is_test: NDArray[np.bool_],
    pool: Labels,
    classes: int,
    is_chosen: bool,
) -> tuple[list[float], list[int]]:
    """Label in rounds; return the accuracy and the number of labels after each."""
    start = min(START_PER_CLASS * classes, len(pool) // 3)
    step = max(1, round(ROUND_SHARE * len(pool)))
    labeled, rest = pool[:start], pool[start:]
    accuracies, sizes = [], []
    for _ in range(ROUNDS + 1):
        layer = fit_lda(vectors[labeled], labels[labeled], classes)
        predicted = _logits(vectors[is_test], layer).argmax(axis=1)
        accuracies.append(float((predicted == labels[is_test]).mean()))
        sizes.append(len(labeled))
        taken = np.arange(min(step, len(rest)))
        if is_chosen:
            logits = _logits(vectors[rest], layer)
            doubt = doubts(softmax(logits))
            taken = choose_batch(logits, doubt, _logits(vectors[labeled], layer), step)
        labeled = np.concatenate([labeled, rest[taken]])
        rest = np.delete(rest, taken)
    return accuracies, sizes


def _logits(vectors: NDArray[np.float32], layer: Layer) -> NDArray[np.float64]:
    weights, biases = layer
    return np.asarray(vectors @ weights.T + biases)
