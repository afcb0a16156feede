"""Batches: the same for any number of threads, in order, and nothing left running behind."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bestiary.cores import cores
from bestiary.data.decode import Pixels
from bestiary.data.loader import (
    Threads,
    epoch_order,
    load_batches,
    loader_threads,
    split_batches,
    stream_views,
    train_views,
)
from bestiary.data.views import TrainView

WAYS = [Threads(1, False), Threads(4, False), Threads(1, True), Threads(4, True)]
VIEW = TrainView(16, 0.5, 10.0, (0.3, 1.0), (0.75, 1.33))


def loader_names() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("bestiary-loader")
    ]


def flat(row: int) -> Pixels:
    return np.full((4, 4, 3), row % 256, np.uint8)


def slow_start(row: int) -> Pixels:
    time.sleep(0.01 * (row < 4))  # the first rows come last, if order is left to chance
    return flat(row)


@pytest.mark.parametrize("threads", WAYS)
def test_batches_come_in_order_with_their_rows(threads: Threads) -> None:
    rows = np.random.default_rng(0).permutation(50)
    batches = list(load_batches(split_batches(rows, 4), slow_start, threads))
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), rows)
    for batch in batches:
        assert batch.views.dtype == torch.uint8 and batch.views.shape == (len(batch.rows), 4, 4, 3)
        np.testing.assert_array_equal(batch.views[:, 0, 0, 0].numpy(), batch.rows)
    assert not loader_names()


def test_random_views_are_identical_for_any_number_of_threads() -> None:
    images = np.random.default_rng(0).integers(0, 255, (30, 40, 40, 3), dtype=np.uint8)
    batches = split_batches(epoch_order(30, 0, 1, 2), 7)
    made = [
        torch.cat(
            [
                b.views
                for b in load_batches(
                    batches, train_views(lambda i: images[i], VIEW, 0, 1, 2), threads
                )
            ]
        )
        for threads in WAYS
    ]
    assert all(torch.equal(made[0], other) for other in made[1:])
    assert made[0].float().std() > 10


@pytest.mark.parametrize("threads", WAYS)
def test_an_exception_reaches_the_consumer_and_ends_the_threads(threads: Threads) -> None:
    def fails_at_13(row: int) -> Pixels:
        if row == 13:
            raise LookupError("row 13")
        return flat(row)

    seen = []
    with pytest.raises(LookupError, match="row 13"):
        for batch in load_batches(split_batches(np.arange(40), 4), fails_at_13, threads):
            seen += batch.rows.tolist()
    assert seen == list(range(12))
    assert not loader_names()


@pytest.mark.parametrize("threads", WAYS)
def test_stopping_early_leaves_no_thread_behind_and_makes_little_in_vain(threads: Threads) -> None:
    made: list[int] = []

    def note(row: int) -> Pixels:
        made.append(row)
        return flat(row)

    loading = load_batches(split_batches(np.arange(400), 4), note, threads)
    assert next(loading).rows.tolist() == [0, 1, 2, 3]
    assert loader_names()
    loading.close()  # type: ignore[attr-defined]
    assert not loader_names()
    assert max(made) < 4 * (1 + threads.ahead * (3 * threads.number + 1))


def test_no_more_batches_than_asked_for_wait_in_memory() -> None:
    made: list[int] = []

    def note(row: int) -> Pixels:
        made.append(row)
        return flat(row)

    for number, _ in enumerate(
        load_batches(split_batches(np.arange(60), 1), note, Threads(2, ahead=True))
    ):
        assert len(made) <= number + 1 + 2 * 2 + 1


def test_a_batch_is_made_when_it_is_asked_for_and_each_view_once() -> None:
    made: list[int] = []

    def note(row: int) -> Pixels:
        made.append(row)
        return flat(row)

    for number, _ in enumerate(
        load_batches(split_batches(np.arange(60), 4), note, Threads(2, ahead=False))
    ):
        assert sorted(made) == list(range(4 * (number + 1)))


def test_no_batches_are_no_error() -> None:
    assert all(list(load_batches([], flat, threads)) == [] for threads in WAYS)


@given(st.integers(0, 200), st.integers(1, 50))
def test_batches_cover_the_rows_in_order_and_none_but_an_only_one_is_single(
    count: int, size: int
) -> None:
    batches = split_batches(np.arange(count), size)
    assert [row for batch in batches for row in batch] == list(range(count))
    assert all(len(batch) == size for batch in batches[:-2])
    if size > 1 and count > 1:
        assert all(2 <= len(batch) <= size + 1 for batch in batches)


def test_a_single_left_over_image_joins_the_batch_before() -> None:
    assert [len(batch) for batch in split_batches(np.arange(9), 4)] == [4, 5]
    assert [len(batch) for batch in split_batches(np.arange(10), 4)] == [4, 4, 2]
    assert [len(batch) for batch in split_batches(np.arange(8), 4)] == [4, 4]
    assert [len(batch) for batch in split_batches(np.arange(1), 4)] == [1]


def test_an_epochs_order_is_a_permutation_of_its_own() -> None:
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


@pytest.mark.parametrize("threads", WAYS)
def test_streamed_views_are_in_order_and_progress_is_told(threads: Threads) -> None:
    told: list[tuple[int, int]] = []
    views = list(
        stream_views(np.arange(10, 19), 4, flat, threads, lambda done, of: told.append((done, of)))
    )
    assert torch.cat(views)[:, 0, 0, 0].tolist() == list(range(10, 19))
    assert told == [(4, 9), (9, 9)]
    assert len(list(stream_views(np.arange(3), 4, flat, threads))) == 1


def test_all_cores_in_turns_with_a_network_on_the_cpu_and_several_ahead_of_a_gpu() -> None:
    assert loader_threads("cpu") == Threads(cores(), ahead=False)
    assert 1 <= loader_threads("cuda").number <= 16 and loader_threads("cuda").ahead
