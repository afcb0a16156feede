"""Prediction in training: a batch that the device has no memory for is halved."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bestiary.model.halving import HalvedBatches
from bestiary.training.prediction import prediction_batch_size


def short_network(max_images: int, seen: list[int]) -> HalvedBatches:
    """A network with memory for `max_images` at a time; `seen` gets the sizes it was given."""

    def run(views: torch.Tensor) -> NDArray[np.float32]:
        seen.append(len(views))
        if len(views) > max_images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return views[:, 0, 0, :1].float().numpy()

    return HalvedBatches(run)


def test_batch_is_halved_when_memory_is_short() -> None:
    views = torch.arange(22, dtype=torch.uint8).view(22, 1, 1, 1).expand(22, 2, 2, 3)
    seen: list[int] = []
    run = short_network(5, seen)
    outputs = np.concatenate([run(views[:16]), run(views[16:])])
    assert outputs[:, 0].tolist() == list(range(22))
    # The second batch is not tried in parts that the first has found too large.
    assert seen == [16, 8, 4, 4, 4, 4, 4, 2]


def test_no_memory_for_one_image_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        short_network(0, [])(torch.zeros((4, 2, 2, 3), dtype=torch.uint8))
    seen: list[int] = []

    def broken(views: torch.Tensor) -> NDArray[np.float32]:
        seen.append(len(views))
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        HalvedBatches(broken)(torch.zeros((4, 2, 2, 3), dtype=torch.uint8))
    assert seen == [4], "not every error is answered by halving"


def test_a_gpu_predicts_more_images_at_a_time() -> None:
    cuda = torch.device("cuda")
    assert prediction_batch_size(16, cuda, 1) == 256
    assert prediction_batch_size(16, cuda, 5) == 51, "256 views"
    assert prediction_batch_size(512, cuda, 5) == 512
    assert prediction_batch_size(16, torch.device("cpu"), 1) == 16
