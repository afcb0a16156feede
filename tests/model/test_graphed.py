"""Graphed network: whole batches replay one recording, others run the network itself.

There is no GPU here. A stand-in records as PyTorch does: it computes batches of its own, which move
batch norm's statistics and random numbers, keeps the last output, and replaces the forward pass of
what it is given.
"""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bestiary.model.graphed import GraphedNetwork


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that a recording has computed."""
    sizes: list[int] = []
    outputs: list[torch.Tensor] = []

    def record(module: nn.Module, samples: tuple[torch.Tensor]) -> None:
        own: Callable[[torch.Tensor], torch.Tensor] = module.forward
        for _ in range(3):
            outputs[:] = [own(samples[0])]
            torch.autograd.grad(outputs[0].sum(), tuple(module.parameters()))
        for edge in map(torch.autograd.graph.get_gradient_edge, module.parameters()):
            edge.node.metadata["of the recording"] = True

        def replay(images: torch.Tensor) -> torch.Tensor:
            assert images.shape == samples[0].shape
            sizes.append(len(images))
            return own(images)

        module.forward = replay  # type: ignore[method-assign]

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _device: torch.get_rng_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, _: torch.set_rng_state(state))
    return sizes


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))


def test_an_epoch_equals_the_plain_network(replayed: list[int]) -> None:
    plain, graphed = network(), network()
    wrapped = GraphedNetwork(graphed, 4)
    for seed, size in enumerate((4, 4, 3)):
        images = torch.randn(size, 3)
        for one in (plain, wrapped):
            torch.manual_seed(seed)
            one(images).sum().backward()
    assert replayed == [4, 4]
    for ours, theirs in zip(graphed.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs) and ours.grad is not None and theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)
    for ours, theirs in zip(graphed.buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs), "recording moved the statistics"


@pytest.mark.parametrize("last", [nn.Identity(), nn.Flatten(0), nn.Unflatten(1, (2, 1))])
def test_nodes_of_the_recording_are_freed(last: nn.Module, replayed: list[int]) -> None:
    plain = nn.Sequential(network(), last)  # views, or not
    GraphedNetwork(plain, 4)(torch.randn(4, 3))
    for edge in map(torch.autograd.graph.get_gradient_edge, plain.parameters()):
        assert not edge.node.metadata, "gradients would be added up on its stream"


def test_nothing_is_recorded_without_gradients(replayed: list[int]) -> None:
    wrapped = GraphedNetwork(network(), 4)
    with torch.no_grad():
        wrapped(torch.randn(4, 3))
    assert not replayed


def test_parameters_are_listed_once(replayed: list[int]) -> None:
    plain = network()
    wrapped = GraphedNetwork(plain, 4)
    wrapped(torch.randn(4, 3))
    assert replayed == [4]
    assert [id(p) for p in wrapped.parameters()] == [id(p) for p in plain.parameters()]
