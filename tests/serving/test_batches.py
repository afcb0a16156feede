"""The queue in front of the engine: batches, its bounds, and clients whose time is up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bestiary.data.decode import claimed_size
from bestiary.ensemble.answers import PredictionOptions
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ImageError
from bestiary.serving import batches as batches_module
from bestiary.serving.batches import Batches
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import Problem

PATIENCE = 60.0


def queue(ensemble: Ensemble, max_waiting: int) -> tuple[Batches, list[int]]:
    """A queue, and the sizes of the batches that it makes."""
    batches = Batches(ensemble, max_waiting, Metrics(), PATIENCE)
    sizes: list[int] = []
    predict = batches._predict

    def record(batch: Any) -> Any:
        sizes.append(len(batch))
        return predict(batch)

    batches._predict = record  # type: ignore[method-assign]
    return batches, sizes


def busy_queue(ensemble: Ensemble, max_waiting: int) -> Batches:
    """A queue that takes images, whose engine takes none of them."""
    batches = Batches(ensemble, max_waiting, Metrics(), PATIENCE)
    batches._arrived = asyncio.Event()
    batches.ready = True
    return batches


def test_requests_are_batched(ensemble: Ensemble, beasts: Path) -> None:
    images = [path.read_bytes() for path in sorted(beasts.rglob("*.jpg"))]

    async def ask() -> tuple[list[Any], list[int]]:
        batches, sizes = queue(ensemble, 100)
        await batches.start()
        requests = [batches.answer([content], PredictionOptions()) for content in [*images, b"x"]]
        answers = await asyncio.gather(*requests)
        await batches.stop()
        return [answer for (answer,) in answers], sizes

    outcomes, sizes = asyncio.run(ask())
    assert sum(sizes) == 28 and len(sizes) <= 2
    assert isinstance(outcomes[-1], ImageError)
    labels = ensemble.predict(images)
    assert [answer.top[0][0] for answer in outcomes[:-1]] == labels.tolist()


@pytest.mark.parametrize(
    ("in_batch", "of_core", "n_cores", "expected"),
    [(3, 99, 1, [3, 3, 2]), (99, 3, 1, [3, 3, 2]), (99, 2, 3, [6, 2]), (5, 2, 3, [5, 3])],
)
def test_large_images_share_no_batch(
    ensemble: Ensemble,
    image: bytes,
    monkeypatch: pytest.MonkeyPatch,
    in_batch: int,
    of_core: int,
    n_cores: int,
    expected: list[int],
) -> None:
    height, width = claimed_size(image)
    monkeypatch.setattr(batches_module, "MAX_BATCH_PIXELS", in_batch * height * width)
    monkeypatch.setattr(batches_module, "MAX_CORE_PIXELS", of_core * height * width)
    monkeypatch.setattr(batches_module, "cores", lambda: n_cores)

    async def ask() -> tuple[list[Any], list[int]]:
        batches = Batches(ensemble, 100, Metrics(), PATIENCE)
        sizes: list[int] = []
        iter_logits = ensemble.iter_logits

        def record(contents: list[bytes]) -> Any:
            sizes.append(len(contents))
            return iter_logits(contents)

        await batches.start()
        monkeypatch.setattr(ensemble, "iter_logits", record)
        answers = await batches.answer([image] * 7 + [b"x"], PredictionOptions())
        await batches.stop()
        return answers, sizes

    answers, sizes = asyncio.run(ask())
    assert sizes == expected
    assert [isinstance(answer, ImageError) for answer in answers] == [False] * 7 + [True]


def test_queue_is_bounded_and_drops_cancelled(ensemble: Ensemble, image: bytes) -> None:
    async def ask() -> list[int]:
        batches, sizes = queue(ensemble, 40)
        await batches.start()
        tasks = [
            asyncio.create_task(batches.answer([image], PredictionOptions())) for _ in range(40)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="wait") as refused:
            await batches.answer([image], PredictionOptions())
        assert refused.value.status == 503 and refused.value.headers["Retry-After"] == "1"
        for task in tasks[:39]:
            task.cancel()
        await tasks[39]
        await batches.stop()
        return sizes

    # at most the first batch, whose clients left too late, and the one that stayed
    assert sum(asyncio.run(ask())) <= 33


def test_clients_that_left_keep_no_place(ensemble: Ensemble, image: bytes) -> None:
    async def ask() -> None:
        batches = busy_queue(ensemble, 2)
        first, second = (
            asyncio.create_task(batches.answer([image], PredictionOptions())) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        third = asyncio.create_task(batches.answer([image], PredictionOptions()))
        await asyncio.sleep(0)
        assert not third.done()
        with pytest.raises(Problem, match="2 images wait"):
            await batches.answer([image], PredictionOptions())
        second.cancel()
        third.cancel()

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("seconds", "ages", "late", "expected"),
    [
        (0.1, [0.0] * 40, 0, 32),  # fast: whole batches
        (1.9, [0.0] * 40, 0, 15),  # the first has time for 31: half of it is used
        (1.9, [50.0, 0.0, 0.0], 0, 2),  # the first has 10 s
        (2.0, [59.0, 58.5, 57.0, 0.0], 2, 1),  # the first two have no time
        (100.0, [0.0] * 3, 0, 1),  # no image has time enough, and yet one comes
        (100.0, [31.0, 0.0], 1, 1),
    ],
)
def test_batch_is_as_small_as_its_first_image_has_time(
    ensemble: Ensemble,
    image: bytes,
    seconds: float,
    ages: list[float],
    late: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask() -> tuple[int, list[Any]]:
        batches = busy_queue(ensemble, 100)
        batches._seconds = seconds
        tasks = [asyncio.create_task(batches.answer([image], PredictionOptions())) for _ in ages]
        await asyncio.sleep(0)
        for queued, age in zip(batches._queue, ages, strict=True):
            queued.arrived -= age
        batch = batches._next_batch()
        await asyncio.sleep(0.01)  # the requests of late images end
        done = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        return len(batch), done

    monkeypatch.setattr(ensemble, "batch_size", 32)
    n_images, told = asyncio.run(ask())
    assert n_images == expected
    assert [problem.status for problem in told] == [503] * late
    assert all(problem.headers["Retry-After"] == "1" for problem in told)


def test_late_request_leaves_none_of_its_images_behind(ensemble: Ensemble, image: bytes) -> None:
    async def ask() -> None:
        batches = busy_queue(ensemble, 100)
        batches._seconds = 10.0
        task = asyncio.create_task(batches.answer([image] * 3, PredictionOptions()))
        await asyncio.sleep(0)
        batches._queue[0].arrived -= 55
        waiting = list(batches._queue)
        batches._next_batch()
        with pytest.raises(Problem, match="took its time"):
            await task
        assert all(one.outcome.done() for one in waiting)

    asyncio.run(ask())
