"""Rows of images -> batches of views, made by threads.

Beside a GPU they are made ahead of the network. A network on the CPU has every core already: a
thread that loads beside it takes turns with one of its own, for which the others wait. So there
each batch is made when it is asked for, by all cores at once (benchmarks/bench_training.py).

Decoding, resizing and copying release Python's lock, so threads keep up with a GPU, and nothing has
to be pickled or survive a `spawn`. A view depends on (seed, fold, epoch, row) alone: batches are
the same for any number of threads. Knows nothing of networks.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.data.decode import Pixels
from bestiary.data.views import TrainView
from bestiary.data.workers import Workers
from bestiary.rng import keyed_rng

Rows = NDArray[np.int64]
T = TypeVar("T")


class Batch(NamedTuple):
    """Views and the rows they were made of."""

    views: torch.Tensor  # uint8 (n, size, size, 3)
    rows: Rows  # (n,)

    def on(self, device: torch.device) -> torch.Tensor:
        """The views on `device`."""
        return self.views.to(device, non_blocking=True)


def epoch_order(count: int, seed: int, fold: int, epoch: int) -> Rows:
    """The shuffled order (count,) in which an epoch visits the training part."""
    return keyed_rng(seed, "order", fold, epoch).permutation(count)


def window_order(shards: NDArray[np.int32], window: int, seed: int, fold: int, epoch: int) -> Rows:
    """The shuffled order (count,) in which an epoch visits images that lie in shards.

    The shards are shuffled; then one after the other is read into a buffer, and whenever that holds
    `window` images or more, they are shuffled and used up. So no more shards than fill the buffer
    are read at a time.

    Args:
        shards: number of each image's shard (count,).
        window: images in the buffer.
        seed: of the run.
        fold: number of the fold that is held out.
        epoch: epochs done.
    """
    rng = keyed_rng(seed, "order", fold, epoch)
    counts = np.bincount(shards)
    turns = rng.permutation(np.flatnonzero(counts))
    read_before = np.concatenate(
        [[0], np.cumsum(counts[turns])[:-1]]
    )  # images read before each shard in turn
    # the shard in turn k goes into the buffer that is being filled when as many images were read
    # before it
    fillings, filled, start = np.zeros(len(counts), np.int32), 0, 0
    for turn, before in enumerate(read_before):
        if before - start >= window:
            filled, start = filled + 1, int(before)
        fillings[turns[turn]] = filled
    return np.lexsort((rng.random(len(shards)), fillings[shards])).astype(np.int64, copy=False)


def split_batches(rows: Rows, size: int) -> list[Rows]:
    """Consecutive batches of `size`; the last may be smaller, but a single left-over image joins
    the one before.

    Batch norm cannot take statistics of one value a channel, which a batch of one may come down to.
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


class Share(NamedTuple):
    """What one of several processes does of a batch.

    Attributes:
        rows: that it loads, (n,).
        before: how many of them, at the beginning, are there only because the next is mixed with
            them.
        weight: what its mean loss is multiplied by, so that the mean over the processes is the
            batch's mean.
    """

    rows: Rows
    before: int
    weight: float


def share_batch(rows: Rows, rank: int, size: int, *, mixed: bool) -> Share:
    """Process `rank`'s share of a batch, of `size` processes: consecutive rows, as even as they
    divide.

    Each has two rows at least, see `split_batches`; where there are too few for all, the last ones
    repeat another's with weight 0, so that every process takes part in every step.

    Args:
        rows: the batch.
        rank: number of the process, from 0.
        size: number of processes.
        mixed: each image may be mixed with its neighbor in the batch, so that the one before the
            share is needed.
    """
    sharing = min(size, max(1, len(rows) // 2))
    parts = np.array_split(rows, sharing)
    number = min(rank, sharing - 1)
    weight = size * len(parts[number]) / len(rows) if rank < sharing else 0.0
    if sharing == 1 or not mixed:
        return Share(parts[number], 0, weight)
    return Share(np.append(parts[number - 1][-1:], parts[number]), 1, weight)


class Threads(NamedTuple):
    """Who makes batches: each thread one `ahead` of the consumer, or all threads together the
    one that is asked for.
    """

    number: int
    ahead: bool


def load_batches(
    batches: Sequence[Rows],
    view_of: Callable[[int], Pixels],
    threads: Threads,
    *,
    pin: bool = False,
) -> Iterator[Batch]:
    """Make the batches in order.

    Args:
        batches: rows of each batch.
        view_of: row -> view, uint8 (size, size, 3); called from threads.
        threads: who makes them. Ahead, twice as many batches as there are threads are under way or
            ready.
        pin: keep views in page-locked memory, from which a GPU copies without waiting.

    Raises:
        DataError: a batch takes too long, see `bestiary.data.workers`.
    """
    make = _ahead if threads.ahead else _when_asked
    with Workers(threads.number) as workers:
        yield from make(
            workers, threads.number, _empty_batches(workers, batches, view_of, pin), view_of
        )


_Empty = tuple[Batch, range]  # a batch and the places in it that are still to be filled


def _empty_batches(
    workers: Workers, batches: Sequence[Rows], view_of: Callable[[int], Pixels], pin: bool
) -> Iterator[_Empty]:
    if not batches:
        return
    first = workers.wait_for(
        workers.submit(partial(view_of, int(batches[0][0])))
    )  # says how large all views are
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
    workers: Workers, threads: int, empty: Iterator[_Empty], view_of: Callable[[int], Pixels]
) -> Iterator[Batch]:
    return run_ahead(
        workers, threads, (partial(_fill, batch, places, view_of) for batch, places in empty)
    )


def run_ahead(workers: Workers, threads: int, jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of `jobs` in order, twice as many as there are threads under way or ready."""
    waiting: deque[Future[T]] = deque()
    for job in jobs:
        waiting.append(workers.submit(job))
        if len(waiting) > 2 * threads:
            yield workers.wait_for(waiting.popleft())
    while waiting:
        yield workers.wait_for(waiting.popleft())


def _when_asked(
    workers: Workers, threads: int, empty: Iterator[_Empty], view_of: Callable[[int], Pixels]
) -> Iterator[Batch]:
    for batch, places in empty:
        step = max(
            1, len(places) // (4 * threads)
        )  # several parts a thread, as one image costs more than another
        parts = [places[start : start + step] for start in range(0, len(places), step)]
        for part in [workers.submit(partial(_fill, batch, part, view_of)) for part in parts]:
            workers.wait_for(part)
        yield batch


def stream_views(
    rows: Rows,
    batch_size: int,
    view_of: Callable[[int], Pixels],
    threads: Threads,
    tick: Callable[[int, int], None] | None = None,
) -> Iterator[torch.Tensor]:
    """The views of `rows` in order, uint8 (n, size, size, 3) a batch; `tick` is told (done, of)
    after each.
    """
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
        return view(pixels_of(row), keyed_rng(seed, "view", fold, epoch, row))

    return view_of


def loader_threads(device_type: str, processes: int = 1) -> Threads:
    """Who makes batches: all cores in turns with a network on the CPU, up to 16 threads ahead of
    one on a GPU.

    Args:
        device_type: where the network computes.
        processes: that share this machine's cores.
    """
    own = cores(processes)
    if device_type == "cpu":
        return Threads(own, ahead=False)
    return Threads(min(16, max(1, own - 1)), ahead=True)
