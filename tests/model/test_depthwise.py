"""Depthwise convolutions: the same outputs as PyTorch's own, gradients equal up to rounding."""

from typing import Any

import pytest
import torch
from torch import nn

from bestiary.model.depthwise import FastDepthwise, with_fast_depthwise

CASES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 5, "padding": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 5, "stride": 2, "padding": 2, "bias": False},
    {"kernel_size": 5, "stride": 3, "padding": 4},
    {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2)},
    {"kernel_size": 7, "padding": "same"},
    {"kernel_size": 3, "padding": 1, "dilation": 2},
]


def results(network: nn.Module, images: torch.Tensor, bf16: bool) -> list[torch.Tensor]:
    """Output, and gradients of input, weight and bias."""
    given = images.clone().requires_grad_()
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = network(given)
    (output.float() * torch.linspace(-1, 1, output.shape[-1])).sum().backward()
    gradients = [tensor.grad for tensor in (given, *network.parameters())]
    return [output.detach(), *(one.clone() for one in gradients if one is not None)]


@pytest.mark.parametrize("side", [13, 14])
@pytest.mark.parametrize("case", CASES)
def test_same_output_and_gradients(case: dict[str, Any], side: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(24, 24, groups=24, **case)
    images = torch.randn(2, 24, side, side).contiguous(memory_format=torch.channels_last)
    fast = FastDepthwise(convolution)
    exact = results(convolution, images, bf16=False)
    usual = results(convolution, images, bf16=True)
    ours = results(fast, images, bf16=True)
    assert torch.equal(ours[0], usual[0])
    assert len(ours) == len(exact) == (3 if case.get("bias") is False else 4)
    for expected, native, got in zip(exact[1:], usual[1:], ours[1:], strict=True):
        scale = expected.norm()
        assert got.dtype == expected.dtype
        assert (got - expected).norm() <= max(2 * (native - expected).norm(), 4e-3 * scale)
    for expected, got in zip(exact, results(fast, images, bf16=False), strict=True):
        assert torch.equal(got, expected), "in float32, nothing changes"


def test_only_depthwise_convolutions_are_wrapped() -> None:
    dense = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(1, 1, 3))
    assert with_fast_depthwise(dense) is dense
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))
    wrapped = with_fast_depthwise(network)
    assert isinstance(wrapped, FastDepthwise)
    assert [id(one) for one in wrapped.parameters()] == [id(one) for one in network.parameters()]


def test_frozen_weights_have_no_gradient() -> None:
    convolution = nn.Conv2d(8, 8, 3, groups=8).requires_grad_(False)
    images = torch.randn(1, 8, 9, 9, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        FastDepthwise(convolution)(images).sum().backward()
    assert convolution.weight.grad is None
    assert images.grad is not None
