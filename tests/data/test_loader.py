"""The loader: batches in order and equal for any worker threads, with and without prefetch."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bestiary.cores import cores
from bestiary.data.decode import Pixels
from bestiary.data.epoch_order import epoch_order
from bestiary.data.loader import (
    JOBS_AHEAD,
    LoaderThreads,
    load_batches,
    loader_threads,
    split_batches,
    stream_views,
    train_views,
)
from bestiary.data.views import TrainView

THREADS = [
    LoaderThreads(1, prefetch=False),
    LoaderThreads(4, prefetch=False),
    LoaderThreads(1, prefetch=True),
    LoaderThreads(4, prefetch=True),
]
VIEW = TrainView(16, 0.5, 10.0, (0.3, 1.0), (0.75, 1.33))


def running_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("bestiary-loader")]


def flat(row: int) -> Pixels:
    return np.full((4, 4, 3), row % 256, np.uint8)


def slow_start(row: int) -> Pixels:
    time.sleep(0.01 * (row < 4))  # without an order, the first rows would come last
    return flat(row)


@pytest.mark.parametrize("threads", THREADS)
def test_load_batches_keeps_order_of_rows(threads: LoaderThreads) -> None:
    rows = np.random.default_rng(0).permutation(50)
    batches = list(load_batches(split_batches(rows, 4), slow_start, threads))
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), rows)
    for batch in batches:
        assert batch.views.dtype == torch.uint8 and batch.views.shape == (len(batch.rows), 4, 4, 3)
        np.testing.assert_array_equal(batch.views[:, 0, 0, 0].numpy(), batch.rows)
    assert not running_threads()


@pytest.mark.parametrize("threads", THREADS)
def test_views_are_made_without_openmp_teams(threads: LoaderThreads) -> None:
    own = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        sizes = set()

        def view_of(row: int) -> Pixels:
            torch.ones(1 << 18).exp()  # the first operation of a thread may set its default
            sizes.add(torch.get_num_threads())
            return flat(row)

        list(load_batches(split_batches(np.arange(32), 4), view_of, threads))
        assert sizes == {1}

        # Neither this thread nor those of others have fewer from now on.
        others: list[int] = []
        other = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert [torch.get_num_threads(), *others] == [3, 3]
    finally:
        torch.set_num_threads(own)


def test_views_are_equal_for_any_thread_count() -> None:
    images = np.random.default_rng(0).integers(0, 255, (30, 40, 40, 3), dtype=np.uint8)
    batches = split_batches(epoch_order(30, 0, 1, 2), 7)
    view_of = train_views(lambda row: images[row], VIEW, 0, 1, 2)
    views = [
        torch.cat([batch.views for batch in load_batches(batches, view_of, threads)])
        for threads in THREADS
    ]
    assert all(torch.equal(views[0], other) for other in views[1:])
    assert views[0].float().std() > 10


@pytest.mark.parametrize("threads", THREADS)
def test_loader_passes_on_an_exception(threads: LoaderThreads) -> None:
    def fails_at_13(row: int) -> Pixels:
        if row == 13:
            raise LookupError("row 13")
        return flat(row)

    loaded = []
    with pytest.raises(LookupError, match="row 13"):
        for batch in load_batches(split_batches(np.arange(40), 4), fails_at_13, threads):
            loaded += batch.rows.tolist()
    assert loaded == list(range(12))
    assert not running_threads()


@pytest.mark.parametrize("threads", THREADS)
def test_loader_stops_early_without_threads(threads: LoaderThreads) -> None:
    made: list[int] = []

    def note(row: int) -> Pixels:
        made.append(row)
        return flat(row)

    loading = load_batches(split_batches(np.arange(400), 4), note, threads)
    assert next(loading).rows.tolist() == [0, 1, 2, 3]
    assert running_threads()
    loading.close()  # type: ignore[attr-defined]
    assert not running_threads()
    assert max(made) < 4 * (1 + threads.prefetch * (3 * threads.workers + 1))


def test_prefetch_bounds_batches_in_memory() -> None:
    made: list[int] = []

    def note(row: int) -> Pixels:
        made.append(row)
        return flat(row)

    for number, _ in enumerate(
        load_batches(split_batches(np.arange(60), 1), note, LoaderThreads(2, prefetch=True))
    ):
        assert len(made) <= number + 1 + JOBS_AHEAD * 2 + 1


@pytest.mark.parametrize("prefetch", [True, False])
def test_threads_share_each_batch(prefetch: bool) -> None:
    all_at_work = threading.Barrier(3, timeout=20)

    def view_of(row: int) -> Pixels:
        if row in (10, 20, 30):  # of the only batch
            all_at_work.wait()
        return flat(row)

    rows = np.arange(32)
    (batch,) = load_batches([rows], view_of, LoaderThreads(3, prefetch=prefetch))
    assert batch.views[:, 0, 0, 0].tolist() == rows.tolist()


def test_on_demand_makes_each_view_once() -> None:
    made: list[int] = []

    def note(row: int) -> Pixels:
        made.append(row)
        return flat(row)

    for number, _ in enumerate(
        load_batches(split_batches(np.arange(60), 4), note, LoaderThreads(2, prefetch=False))
    ):
        assert sorted(made) == list(range(4 * (number + 1)))


def test_load_no_batches() -> None:
    assert all(list(load_batches([], flat, threads)) == [] for threads in THREADS)


@given(st.integers(0, 200), st.integers(1, 50))
def test_split_batches_covers_rows_in_order(count: int, size: int) -> None:
    batches = split_batches(np.arange(count), size)
    assert [row for batch in batches for row in batch] == list(range(count))
    assert all(len(batch) == size for batch in batches[:-2])
    if size > 1 and count > 1:
        assert all(2 <= len(batch) <= size + 1 for batch in batches)


def test_single_last_image_joins_batch_before() -> None:
    assert [len(batch) for batch in split_batches(np.arange(9), 4)] == [4, 5]
    assert [len(batch) for batch in split_batches(np.arange(10), 4)] == [4, 4, 2]
    assert [len(batch) for batch in split_batches(np.arange(8), 4)] == [4, 4]
    assert [len(batch) for batch in split_batches(np.arange(1), 4)] == [1]


def test_epoch_order_is_its_own_permutation() -> None:
    orders = {
        (seed, fold, epoch): epoch_order(100, seed, fold, epoch)
        for seed, fold, epoch in np.ndindex(2, 3, 4)
    }
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(100))
    assert len({order.tobytes() for order in orders.values()}) == 24
    np.testing.assert_array_equal(orders[1, 2, 3], epoch_order(100, 1, 2, 3))
    agreement = [
        (a == b).mean() for i, a in enumerate(orders.values()) for b in list(orders.values())[:i]
    ]
    assert np.mean(agreement) < 0.03  # 0.01 is chance


@pytest.mark.parametrize("threads", THREADS)
def test_stream_views_in_order_with_progress(threads: LoaderThreads) -> None:
    ticks: list[tuple[int, int]] = []

    def tick(done: int, of: int) -> None:
        ticks.append((done, of))

    views = list(stream_views(np.arange(10, 19), 4, flat, threads, tick))
    assert torch.cat(views)[:, 0, 0, 0].tolist() == list(range(10, 19))
    assert ticks == [(4, 9), (9, 9)]
    assert len(list(stream_views(np.arange(3), 4, flat, threads))) == 1


def test_loader_threads_prefetch_on_gpu_only() -> None:
    assert loader_threads("cpu") == LoaderThreads(cores(), prefetch=False)
    on_gpu = loader_threads("cuda")
    assert 1 <= on_gpu.workers <= 16 and on_gpu.prefetch
