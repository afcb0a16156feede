"""Compiled network: whole batches run compiled code of one shape, others the network itself."""

from typing import Any

import pytest
import torch
from torch import nn

from bestiary.model.compiled import CompiledNetwork


def test_only_whole_batches_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_sizes: list[int] = []
    resets: list[bool] = []

    def compile_network(network: nn.Module, dynamic: bool) -> Any:
        assert not dynamic, "a graph for any size is slower, and takes over whole batches too"

        def compute(images: torch.Tensor) -> torch.Tensor:
            compiled_sizes.append(len(images))
            return torch.as_tensor(network(images))

        return compute

    monkeypatch.setattr(torch, "compile", compile_network)
    monkeypatch.setattr(torch._dynamo, "reset", lambda: resets.append(True))
    plain = nn.Linear(3, 2)
    network = CompiledNetwork(plain, 4)
    for size in (4, 4, 3):  # an epoch
        images = torch.randn(size, 3)
        assert torch.equal(network(images), plain(images))
    assert compiled_sizes == [4, 4]
    CompiledNetwork(nn.Linear(3, 2), 4)
    assert len(resets) == 2, "code of another fold counts towards PyTorch's limit"
