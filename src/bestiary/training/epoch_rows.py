"""Rows of a training part -> the rows of an epoch, in order, as the recipe samples them.

The n-th repetition of a row in an epoch is numbered n times the number of samples higher, so that
its view is another one; `TrainingSet` takes such numbers for the sample that they repeat.
"""

from bestiary.data.epoch_order import (
    Rows,
    balanced_rows,
    epoch_order,
    occurrences,
    window_order,
)
from bestiary.storage.shards import ShardFolder
from bestiary.training.dataset import TrainingSet


def epoch_rows(data: TrainingSet, rows: Rows, fold: int, epoch: int) -> Rows:
    """Choose and shuffle the samples of one epoch.

    Args:
        data: the dataset.
        rows: samples to train on.
        fold: number of the fold that is held out.
        epoch: epochs done.

    Returns:
        As many rows in the order of the epoch.
    """
    if data.recipe.data.sampler == "shuffled":
        return rows[_order(data, rows, fold, epoch)]
    chosen = rows[balanced_rows(data.labels[rows], data.recipe.train.seed, fold, epoch)]
    ordered = chosen[_order(data, chosen, fold, epoch)]
    return ordered + len(data.paths) * occurrences(ordered)


def _order(data: TrainingSet, rows: Rows, fold: int, epoch: int) -> Rows:
    """Shuffle samples; those in shards within a window, so that few shards are read at a time.

    The root prefetches these.
    """
    seed = data.recipe.train.seed
    if not isinstance(data.root, ShardFolder):
        return epoch_order(len(rows), seed, fold, epoch)
    shards = data.root.shards_of(data.paths[rows])
    order = window_order(shards, data.recipe.data.shuffle_buffer, seed, fold, epoch)
    data.root.prefetch(shards[order])
    return order
