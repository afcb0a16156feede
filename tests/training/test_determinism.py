"""Determinism: what train.deterministic sets on a GPU, and what it leaves alone."""

import os

import pytest
import torch
from torch import nn
from torch.nn import functional

from bestiary.errors import RunError
from bestiary.training.determinism import (
    CUBLAS_VARIABLE,
    deterministic_algorithms,
    pool_in_fixed_order,
)

GPU = torch.device("cuda")
CPU = torch.device("cpu")


def settings() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.fixture(autouse=True)
def _no_workspaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS_VARIABLE, "unset")
    monkeypatch.delenv(CUBLAS_VARIABLE)


def test_gpu_is_deterministic_inside_the_block() -> None:
    before = settings()
    assert before == (False, False, True)
    with deterministic_algorithms(True, GPU):
        assert settings() == (True, True, False)
        assert not torch.backends.cudnn.benchmark
        assert torch.backends.cudnn.enabled
        assert os.environ[CUBLAS_VARIABLE] == ":4096:8"
    assert settings() == before
    with pytest.raises(ZeroDivisionError), deterministic_algorithms(True, GPU):
        raise ZeroDivisionError
    assert settings() == before


@pytest.mark.parametrize(("wanted", "device"), [(False, GPU), (True, CPU)])
def test_nothing_changes_unless_asked_for_on_a_gpu(wanted: bool, device: torch.device) -> None:
    before = settings()
    with deterministic_algorithms(wanted, device):
        assert settings() == before
        assert CUBLAS_VARIABLE not in os.environ


def test_operation_without_an_algorithm_is_named() -> None:
    words = "adaptive_pool does not have a deterministic implementation"
    with pytest.raises(RunError, match=words), deterministic_algorithms(True, GPU):
        raise RuntimeError(f"{words}, but you set it")
    with pytest.raises(RuntimeError, match="shapes"), deterministic_algorithms(True, GPU):
        raise RuntimeError("shapes do not match")


def test_max_pools_get_contiguous_channels() -> None:
    layouts: list[bool] = []

    class NotedPool(nn.MaxPool2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            layouts.append(images.is_contiguous())
            return super().forward(images)

    network = nn.Sequential(nn.Conv2d(3, 4, 3), NotedPool(3, 2, 1))
    network.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 9, 9).contiguous(memory_format=torch.channels_last)
    plain = network(images)
    pool_in_fixed_order(network)
    assert torch.equal(network(images), plain)
    assert layouts == [False, True]
    assert torch.equal(plain, functional.max_pool2d(network[0](images), 3, 2, 1))
