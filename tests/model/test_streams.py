"""Streams: which batches are computed in parts, in which order, and what a damaged file leaves."""

import threading
from typing import Any

import numpy as np
import pytest

from bestiary.model import streams
from bestiary.model.streams import MAX_PART, Streams


class Compiled:
    """Stands in for OpenVINO's compiled model: the mean of each view; notes its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()

    def get_property(self, name: str) -> int:
        assert name == "OPTIMAL_NUMBER_OF_INFER_REQUESTS"
        return 2

    def create_infer_request(self) -> "Compiled":
        return self

    def infer(self, views: np.ndarray, **_: Any) -> list[np.ndarray]:
        self.batches.append(len(views))
        self.threads.add(threading.current_thread().name)
        return [views.reshape(len(views), -1).mean(axis=1, dtype=np.float32)[:, None]]


@pytest.fixture
def views() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (33, 4, 4, 3), np.uint8)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "cores", lambda: 2)


def test_large_batches_are_computed_in_parts(views: np.ndarray) -> None:
    alone, together = Compiled(), Compiled()
    run = Streams(alone, lambda: together)
    np.testing.assert_array_equal(run(views), alone.infer(views)[0])
    assert alone.batches == [33], "only by this test"
    assert sorted(together.batches) == [1, *[MAX_PART] * 8]
    assert threading.current_thread().name not in together.threads


def test_few_images_are_computed_alone(views: np.ndarray) -> None:
    alone = Compiled()
    run = Streams(alone, lambda: pytest.fail("was compiled for throughput"))
    assert run(views[:3]).shape == (3, 1)
    assert alone.batches == [3]


def test_each_stream_gets_a_part_of_a_small_batch(views: np.ndarray) -> None:
    together = Compiled()
    Streams(Compiled(), lambda: together)(views[:5])
    assert sorted(together.batches) == [2, 3]


def test_compiles_once_for_many_threads(views: np.ndarray) -> None:
    compiled = []

    def compile_together() -> Compiled:
        compiled.append(Compiled())
        return compiled[-1]

    run = Streams(Compiled(), compile_together)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(run(views))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 1
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_damaged_file_leaves_the_other(views: np.ndarray) -> None:
    def fail() -> None:
        raise RuntimeError("damaged")

    alone = Compiled()
    run = Streams(alone, fail)
    assert run(views).shape == (33, 1)
    assert run(views).shape == (33, 1)
    assert alone.batches == [33, 33]
