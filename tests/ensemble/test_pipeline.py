"""Batches in front of a network: one after the other on a CPU, one ahead on a GPU."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bestiary.data.loader import Batch
from bestiary.ensemble.pipeline import score_batches


class StandIn:
    """Not a CPU, and all that is asked of a device."""

    type = "cuda"


def batches(count: int, taken: list[int]) -> Iterator[Batch]:
    for index in range(count):
        taken.append(index)
        yield Batch(torch.full((2, 1, 1, 3), index, dtype=torch.uint8), np.arange(2))


def network(views: torch.Tensor) -> NDArray[np.float32]:
    return views[:, 0, 0, :1].float().numpy()


def test_a_cpu_computes_a_batch_when_it_is_asked_for() -> None:
    taken: list[int] = []
    scored = score_batches(batches(3, taken), network, torch.device("cpu"))
    _, outputs = next(scored)
    assert taken == [0] and outputs.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_gpu_gives_the_same_in_order(count: int) -> None:
    device = StandIn()
    scored = list(score_batches(batches(count, []), network, device))  # type: ignore[arg-type]
    assert [int(batch.views[0, 0, 0, 0]) for batch, _ in scored] == list(range(count))
    assert [outputs[0, 0] for _, outputs in scored] == list(range(count))


def test_a_gpu_computes_while_answers_are_used() -> None:
    started = [threading.Event() for _ in range(3)]

    def note(views: torch.Tensor) -> NDArray[np.float32]:
        started[int(views[0, 0, 0, 0])].set()
        return network(views)

    scored = score_batches(batches(3, []), note, StandIn())  # type: ignore[arg-type]
    next(scored)
    assert started[1].wait(10), "the second batch is computed before it is asked for"


def test_an_error_of_the_network_is_raised() -> None:
    def broken(views: torch.Tensor) -> NDArray[np.float32]:
        raise RuntimeError("a launch failed")

    with pytest.raises(RuntimeError, match="a launch failed"):
        list(score_batches(batches(2, []), broken, StandIn()))  # type: ignore[arg-type]
