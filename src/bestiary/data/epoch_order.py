"""Images of a training part -> their order in an epoch: shuffled, within windows, or balanced.

An order is a function of seed, fold and epoch, so every process and every resumed run has the same.
Knows nothing of files.
"""

import numpy as np
from numpy.typing import NDArray

from bestiary.rng import keyed_rng

Rows = NDArray[np.int64]


def epoch_order(count: int, seed: int, fold: int, epoch: int) -> Rows:
    """Shuffle the training part for an epoch.

    Args:
        count: number of images.
        seed: of the run.
        fold: the held-out fold.
        epoch: epochs done.

    Returns:
        A permutation of 0...count - 1, (count,).
    """
    rng = keyed_rng(seed, "order", fold, epoch)
    return rng.permutation(count)


def balanced_rows(labels: NDArray[np.int64], seed: int, fold: int, epoch: int) -> Rows:
    """Choose the images of an epoch so that each class has as many, as nearly as can be.

    The images of a class take turns: none is drawn once more before all others of it were.

    Args:
        labels: class of each image of the training part, (count,).
        seed: of the run.
        fold: the held-out fold.
        epoch: epochs done.

    Returns:
        Images by number, 0...count - 1, sorted by class (count,).
    """
    rng = keyed_rng(seed, "balanced", fold, epoch)
    classes = rng.permutation(np.unique(labels))
    quotas = np.full(len(classes), len(labels) // len(classes))
    quotas[: len(labels) % len(classes)] += 1  # what is left over goes to the first ones
    chosen = []
    for label, quota in zip(classes, quotas, strict=True):
        own = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(np.resize(own, quota))
    return np.concatenate(chosen)


def occurrences(rows: Rows) -> Rows:
    """Count how often each row has come before (count,).

    Example:
        >>> occurrences(np.array([4, 7, 4, 4])).tolist()
        [0, 0, 1, 2]
    """
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])
    starts = np.flatnonzero(is_first)
    before = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    counts = np.empty(len(rows), np.int64)
    counts[order] = before
    return counts


def window_order(
    shards: NDArray[np.int32],
    window: int,
    seed: int,
    fold: int,
    epoch: int,
) -> Rows:
    """Shuffle images in shards for an epoch, with a shuffle buffer.

    The shards are shuffled, then read one after the other into a buffer. Whenever the buffer
    contains `window` images or more, they are shuffled and used up. So no more shards are read at a
    time than fill the buffer.

    Args:
        shards: shard of each image, (count,).
        window: images in the buffer.
        seed: of the run.
        fold: the held-out fold.
        epoch: epochs done.

    Returns:
        A permutation of 0...count - 1, (count,).
    """
    rng = keyed_rng(seed, "order", fold, epoch)
    sizes = np.bincount(shards)
    shard_order = rng.permutation(np.flatnonzero(sizes))

    # Assign each shard to the filling of the buffer that it is read into.
    filling_of_shard = np.zeros(len(sizes), np.int32)
    filling = 0
    n_in_buffer = 0
    for shard in shard_order:
        if n_in_buffer >= window:
            filling += 1
            n_in_buffer = 0
        filling_of_shard[shard] = filling
        n_in_buffer += int(sizes[shard])

    # Shuffle within each filling.
    noise = rng.random(len(shards))
    fillings = filling_of_shard[shards]
    order = np.lexsort((noise, fillings))
    return order.astype(np.int64, copy=False)
