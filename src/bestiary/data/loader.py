"""Load batches of views: prefetch them for a GPU, make them on demand on a CPU.

With a GPU, batches are prefetched while the network computes: by forked processes where the images
are on this machine and the system allows it, else by threads. With a CPU, prefetching would take
cores from the network. So threads make each batch on demand (measured by
benchmarks/speed/training.py). Either way all share the images of a batch, so that the first batch,
or the only one, is not left to one of them.

A view depends on (seed, fold, epoch, row) alone, so batches are the same for any number of threads
or processes. Knows nothing of networks.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.data.decode import Pixels
from bestiary.data.forked_team import NoAnswerError, can_fork
from bestiary.data.forked_views import (
    JOBS_AHEAD,
    MIN_BATCHES_AHEAD,
    Notes,
    forked_views,
    job_images,
)
from bestiary.data.views import TrainView
from bestiary.data.workers import Workers
from bestiary.display import Tick
from bestiary.model.transfer import send
from bestiary.rng import keyed_rng

MAX_PREFETCH_THREADS = 16
MIN_FORKED_IMAGES = 128  # with fewer, threads are done before processes have started
JOBS_PER_THREAD = 4  # of a batch made on demand; several, as one image costs more than another

Rows = NDArray[np.int64]  # rows of images in the dataset
T = TypeVar("T")


class Batch(NamedTuple):
    """Views, and the rows of their images."""

    views: torch.Tensor  # uint8 (n, size, size, 3)
    rows: Rows  # (n,)

    def on(self, device: torch.device) -> torch.Tensor:
        """Copy the views to `device`."""
        return send(self.views, device)


def split_batches(rows: Rows, size: int) -> list[Rows]:
    """Split rows into consecutive batches. A single last image joins the batch before it.

    A batch of one image may leave one value per channel, which batch norm cannot normalize.

    Args:
        rows: in the order of the epoch, (n,).
        size: rows of a batch; the last may have fewer.

    Returns:
        The rows of each batch.
    """
    starts = range(0, len(rows), size)
    batches = [rows[start : start + size] for start in starts]
    if len(batches) > 1 and len(batches[-1]) == 1:
        single = batches.pop()
        batches[-1] = np.append(batches[-1], single)
    return batches


class RankBatch(NamedTuple):
    """The part of a batch that one rank computes.

    Attributes:
        rows: rows to load, (n,).
        n_partners: how many of the first rows are there only as mixing partners.
        weight: factor of the rank's mean loss; the mean over ranks is then the batch's mean.
    """

    rows: Rows
    n_partners: int
    weight: float


def rank_batch(rows: Rows, rank: int, size: int, *, mixed: bool) -> RankBatch:
    """Select a rank's part of a batch: consecutive rows, split as evenly as possible.

    Every rank has at least two rows, see `split_batches`. Where there are too few rows, the last
    ranks repeat another's with weight 0, so that all ranks take part in every step.

    Args:
        rows: of the whole batch, (n,).
        rank: of this process, from 0.
        size: number of processes.
        mixed: whether images may be mixed with the neighbor before them in the batch. The part
            then begins with that neighbor.

    Returns:
        The rows of this rank and the weight of its loss.
    """
    n_parts = min(size, max(1, len(rows) // 2))
    parts = np.array_split(rows, n_parts)
    index = min(rank, n_parts - 1)
    part = parts[index]
    weight = 0.0
    if rank < n_parts:
        weight = size * len(part) / len(rows)
    if n_parts == 1 or not mixed:
        return RankBatch(part, 0, weight)

    partner = parts[index - 1][-1:]
    rows_with_partner = np.append(partner, part)
    return RankBatch(rows_with_partner, 1, weight)


class LoaderThreads(NamedTuple):
    """How many worker threads load batches, and whether they prefetch.

    Attributes:
        workers: number of worker threads.
        prefetch: whether batches are made ahead of time, or each when it is asked for.
        forked: whether as many forked processes do it, which inherit what views are made from.
    """

    workers: int
    prefetch: bool
    forked: bool = False


def loader_threads(
    device_type: str, processes: int = 1, *, can_inherit: bool = False
) -> LoaderThreads:
    """Choose the worker threads for a device.

    Args:
        device_type: where the network computes. For cpu, all cores load on demand; otherwise up to
            16 threads or processes prefetch.
        processes: number of processes that share this machine's cores.
        can_inherit: whether a forked process can make views from what it inherits, as of files on
            this machine. Connections to a store cannot be shared.

    Returns:
        The number of worker threads, whether they prefetch, and whether they are processes.
    """
    n_cores = cores(processes)
    if device_type == "cpu":
        return LoaderThreads(n_cores, prefetch=False)
    n_threads = min(MAX_PREFETCH_THREADS, max(1, n_cores - 1))
    return LoaderThreads(n_threads, prefetch=True, forked=can_inherit and can_fork())


def load_batches(
    batches: Sequence[Rows],
    view_of: Callable[[int], Pixels],
    threads: LoaderThreads,
    *,
    pin: bool = False,
    notes: Notes | None = None,
) -> Iterator[Batch]:
    """Load batches of views.

    Args:
        batches: rows of each batch.
        view_of: row -> view, uint8 (size, size, 3); called from worker threads or processes.
        threads: number of worker threads, whether they prefetch, and whether they are processes;
            see `LoaderThreads`.
        pin: use page-locked memory, from which a GPU copies without waiting.
        notes: that `view_of` takes, if any.

    Yields:
        The batches, in order.

    Raises:
        DataError: a batch takes too long, see `bestiary.data.workers`; or a process has died.
    """
    if threads.forked and sum(len(rows) for rows in batches) >= MIN_FORKED_IMAGES:
        try:
            yield from _load_by_processes(batches, view_of, threads.workers, pin, notes)
        except NoAnswerError:  # before the first batch
            threads = threads._replace(forked=False)
        else:
            return
    with Workers(threads.workers) as workers:
        unfilled = _allocate_batches(workers, batches, view_of, pin)
        if threads.prefetch:
            yield from _fill_ahead(workers, threads.workers, unfilled, view_of)
        else:
            yield from _fill_on_demand(workers, threads.workers, unfilled, view_of)


def _load_by_processes(
    batches: Sequence[Rows],
    view_of: Callable[[int], Pixels],
    processes: int,
    pin: bool,
    notes: Notes | None,
) -> Iterator[Batch]:
    """Copy the batches that processes make out of the memory that is shared with them."""
    with Workers(1) as workers:
        shape = _first_view(workers, batches, view_of).shape
    if notes:
        notes.take()  # the first view is made again
    # Only now, since a fork copies no other thread than this one.
    with closing(forked_views(batches, view_of, shape, processes, notes)) as made:
        for rows, pixels in zip(batches, made, strict=True):
            views = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=pin)
            views.copy_(torch.from_numpy(pixels))
            yield Batch(views, rows)


_Unfilled = tuple[Batch, range]  # a batch and the indices in it that are still to be filled


def _allocate_batches(
    workers: Workers,
    batches: Sequence[Rows],
    view_of: Callable[[int], Pixels],
    pin: bool,
) -> Iterator[_Unfilled]:
    """Allocate the batches. Make the first view here, since all views have its size."""
    if not batches:
        return
    first_view = _first_view(workers, batches, view_of)
    for index, rows in enumerate(batches):
        shape = (len(rows), *first_view.shape)
        views = torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
        n_filled = 0
        if index == 0:
            views[0] = torch.from_numpy(first_view)
            n_filled = 1
        yield Batch(views, rows), range(n_filled, len(rows))


def _first_view(
    workers: Workers, batches: Sequence[Rows], view_of: Callable[[int], Pixels]
) -> Pixels:
    """Make the first view of all, whose size the others have."""
    first_row = int(batches[0][0])
    return np.ascontiguousarray(workers.wait_for(workers.submit(partial(view_of, first_row))))


def _fill(batch: Batch, indices: range, view_of: Callable[[int], Pixels]) -> None:
    """Make the views at `indices` of a batch."""
    views = batch.views.numpy()
    for index in indices:
        row = int(batch.rows[index])
        views[index] = view_of(row)


def _submit(
    workers: Workers,
    batch: Batch,
    indices: range,
    view_of: Callable[[int], Pixels],
    job_size: int,
) -> list[Future[None]]:
    """Submit the views at `indices` of a batch, in jobs of up to `job_size`."""
    starts = range(0, len(indices), job_size)
    parts = [indices[start : start + job_size] for start in starts]
    return [workers.submit(partial(_fill, batch, part, view_of)) for part in parts]


def _fill_ahead(
    workers: Workers,
    threads: int,
    unfilled: Iterator[_Unfilled],
    view_of: Callable[[int], Pixels],
) -> Iterator[Batch]:
    """Fill batches ahead of the consumer: enough of them to keep all threads at work."""
    pending: deque[tuple[Batch, list[Future[None]]]] = deque()
    for batch, indices in unfilled:
        job_size = job_images(len(indices), threads)
        pending.append((batch, _submit(workers, batch, indices, view_of, job_size)))
        n_jobs = sum(len(futures) for _, futures in pending)
        while len(pending) > MIN_BATCHES_AHEAD and n_jobs > JOBS_AHEAD * threads:
            n_jobs -= len(pending[0][1])
            yield _wait_for_batch(workers, *pending.popleft())

    while pending:
        yield _wait_for_batch(workers, *pending.popleft())


def _fill_on_demand(
    workers: Workers,
    threads: int,
    unfilled: Iterator[_Unfilled],
    view_of: Callable[[int], Pixels],
) -> Iterator[Batch]:
    """Fill one batch after the other, each in jobs for all threads."""
    for batch, indices in unfilled:
        job_size = max(1, len(indices) // (JOBS_PER_THREAD * threads))
        futures = _submit(workers, batch, indices, view_of, job_size)
        yield _wait_for_batch(workers, batch, futures)


def _wait_for_batch(workers: Workers, batch: Batch, futures: list[Future[None]]) -> Batch:
    """Wait until all jobs of a batch have ended."""
    for future in futures:
        workers.wait_for(future)
    return batch


def stream_views(
    rows: Rows,
    batch_size: int,
    view_of: Callable[[int], Pixels],
    threads: LoaderThreads,
    tick: Tick | None = None,
    *,
    pin: bool = False,
) -> Iterator[torch.Tensor]:
    """Load the views of `rows`, batch by batch.

    Args:
        rows: of the images, (n,).
        batch_size: views of a batch.
        view_of: row -> view, uint8 (size, size, 3); called from worker threads.
        threads: number of worker threads, and whether they prefetch.
        tick: called after each batch with the number of views done and of all views.
        pin: use page-locked memory, from which a GPU copies without waiting.

    Yields:
        uint8 (n, size, size, 3), in the order of `rows`.
    """
    n_done = 0
    batches = split_batches(rows, batch_size)
    for batch in load_batches(batches, view_of, threads, pin=pin):
        yield batch.views
        n_done += len(batch.rows)
        if tick:
            tick(n_done, len(rows))


def train_views(
    pixels_of: Callable[[int], Pixels],
    view: TrainView,
    seed: int,
    fold: int,
    epoch: int,
) -> Callable[[int], Pixels]:
    """Bind a training view to one epoch of one fold.

    Args:
        pixels_of: row -> image, uint8 (height, width, 3).
        view: what to draw.
        seed: of the run.
        fold: the held-out fold.
        epoch: epochs done.

    Returns:
        The function row -> random view, uint8 (size, size, 3).
    """

    def view_of(row: int) -> Pixels:
        pixels = pixels_of(row)
        rng = keyed_rng(seed, "view", fold, epoch, row)
        return view(pixels, rng)

    return view_of
