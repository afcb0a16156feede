"""Rows of pictures -> batches of views, made by threads.

Beside a GPU they are made ahead of the network. A network on the CPU has every core already: a thread that loads beside
it takes turns with one of its own, for which the others wait. So there each batch is made when it is asked for, by all
cores at once (benchmarks/bench_training.py).

Decoding, resizing and copying release Python's lock, so threads keep up with a GPU, and nothing has to be pickled or
survive a `spawn`. A view depends on (seed, fold, epoch, row) alone: batches are the same for any number of threads.
Knows nothing of networks.
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


class Threads(NamedTuple):
    """Who makes batches: each thread one `ahead` of the consumer, or all threads together the one that is asked for."""

    number: int
    ahead: bool


def load_batches(
    batches: Sequence[Rows], view_of: Callable[[int], Pixels], threads: Threads, *, pin: bool = False
) -> Iterator[Batch]:
    """Make the batches in order.

    Args:
        batches: rows of each batch.
        view_of: row -> view, uint8 (size, size, 3); called from threads.
        threads: who makes them. Ahead, twice as many batches as there are threads are under way or ready.
        pin: keep views in page-locked memory, from which a GPU copies without waiting.
    """
    make = _ahead if threads.ahead else _when_asked
    pool = ThreadPoolExecutor(threads.number, thread_name_prefix="bestiary-loader")
    try:
        yield from make(pool, threads.number, _empty_batches(batches, view_of, pin), view_of)
    finally:  # also when the consumer stops early or an exception passes
        pool.shutdown(wait=True, cancel_futures=True)


_Empty = tuple[Batch, range]  # a batch and the places in it that are still to be filled


def _empty_batches(batches: Sequence[Rows], view_of: Callable[[int], Pixels], pin: bool) -> Iterator[_Empty]:
    first = view_of(int(batches[0][0])) if batches else np.empty(0, np.uint8)  # says how large all views are
    for number, rows in enumerate(batches):
        views = torch.empty((len(rows), *first.shape), dtype=torch.uint8, pin_memory=pin)
        if number == 0:
            views[0] = torch.from_numpy(np.ascontiguousarray(first))
        yield Batch(views, rows), range(int(number == 0), len(rows))


def _fill(batch: Batch, places: range, view_of: Callable[[int], Pixels]) -> Batch:
    views = batch.views.numpy()
    for place in places:
        views[place] = view_of(int(batch.rows[place]))
    return batch


def _ahead(
    pool: ThreadPoolExecutor, threads: int, empty: Iterator[_Empty], view_of: Callable[[int], Pixels]
) -> Iterator[Batch]:
    waiting: deque[Future[Batch]] = deque()
    for batch, places in empty:
        waiting.append(pool.submit(_fill, batch, places, view_of))
        if len(waiting) > 2 * threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _when_asked(
    pool: ThreadPoolExecutor, threads: int, empty: Iterator[_Empty], view_of: Callable[[int], Pixels]
) -> Iterator[Batch]:
    for batch, places in empty:
        step = max(1, len(places) // (4 * threads))  # several parts a thread, as one picture costs more than another
        parts = [places[start : start + step] for start in range(0, len(places), step)]
        for part in [pool.submit(_fill, batch, part, view_of) for part in parts]:
            part.result()
        yield batch


def stream_views(
    rows: Rows,
    batch_size: int,
    view_of: Callable[[int], Pixels],
    threads: Threads,
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


def loader_threads(device_type: str) -> Threads:
    """Who makes batches: all cores in turns with a network on the CPU, up to 16 threads ahead of one on a GPU."""
    cores = os.cpu_count() or 1
    return Threads(cores, ahead=False) if device_type == "cpu" else Threads(min(16, max(1, cores - 1)), ahead=True)
