"""Rows of pictures -> batches of views, made by threads ahead of the network.

Decoding, resizing and copying release Python's lock, so threads keep up with a GPU, and nothing has to be pickled or
survive a `spawn`. A view depends on (seed, fold, epoch, row) alone: batches are the same for any number of threads.
Knows nothing of networks or devices.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.data.draws import generator
from bestiary.data.views import TrainView

Rows = NDArray[np.int64]


class Batch(NamedTuple):
    """Views and the rows they were made of."""

    views: torch.Tensor  # uint8 (n, size, size, 3)
    rows: Rows  # (n,)


def epoch_order(count: int, seed: int, fold: int, epoch: int) -> Rows:
    """The shuffled order (count,) in which an epoch visits the training part."""
    return generator(seed, "order", fold, epoch).permutation(count)


def split_batches(rows: Rows, size: int) -> list[Rows]:
    """Consecutive batches of `size`; the last may be smaller, but a single left-over picture joins the one before.

    Batch norm cannot take statistics of one value a channel, which a batch of one may come down to.
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def load_batches(
    batches: Sequence[Rows], view_of: Callable[[int], Pixels], threads: int, *, pin: bool = False
) -> Iterator[Batch]:
    """Make the batches in order, `threads` of them at a time and as many again ready and waiting.

    Args:
        batches: rows of each batch.
        view_of: row -> view, uint8 (size, size, 3); called from threads.
        threads: number of threads; with 0 the batches are made when they are asked for.
        pin: keep views in page-locked memory, from which a GPU copies without waiting.
    """

    def make(rows: Rows) -> Batch:
        first = view_of(int(rows[0]))
        views = torch.empty((len(rows), *first.shape), dtype=torch.uint8, pin_memory=pin)
        array = views.numpy()
        array[0] = first
        for place, row in enumerate(rows[1:], 1):
            array[place] = view_of(int(row))
        return Batch(views, rows)

    if threads == 0:
        yield from map(make, batches)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="bestiary-loader")
    waiting: deque[Future[Batch]] = deque()
    try:
        for rows in batches:
            waiting.append(pool.submit(make, rows))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the consumer stops early or an exception passes
        pool.shutdown(wait=True, cancel_futures=True)


def stream_views(
    rows: Rows,
    batch_size: int,
    view_of: Callable[[int], Pixels],
    threads: int,
    tick: Callable[[int, int], None] | None = None,
) -> Iterator[torch.Tensor]:
    """The views of `rows` in order, uint8 (n, size, size, 3) a batch; `tick` is told (done, of) after each."""
    done = 0
    for batch in load_batches(split_batches(rows, batch_size), view_of, threads):
        yield batch.views
        done += len(batch.rows)
        if tick:
            tick(done, len(rows))


def train_views(
    pixels_of: Callable[[int], Pixels], view: TrainView, seed: int, fold: int, epoch: int
) -> Callable[[int], Pixels]:
    """The function row -> random view for one epoch of one fold."""

    def view_of(row: int) -> Pixels:
        return view(pixels_of(row), generator(seed, "view", fold, epoch, row))

    return view_of


def loader_threads(device_type: str) -> int:
    """Threads that make batches: one beside a network that runs on the CPU, up to 16 beside a GPU."""
    return 1 if device_type == "cpu" else min(16, max(1, (os.cpu_count() or 2) - 1))
