"""A network with depthwise convolutions -> the same network, whose gradients are faster on a CPU.

oneDNN computes many gradients of depthwise convolutions in bf16 so slowly that they are half of a
training step of EfficientNet-Lite0. Two kinds are computed otherwise here. The gradient of weights
larger than 3 x 3 is computed in float32. The gradient of the input of a strided convolution is the
convolution, with the mirrored weights, of the output's gradient with zeros in between. Both are
exact up to rounding. Knows nothing of training loops.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

MAX_FAST_WEIGHT = 3  # side of the largest weight whose gradient oneDNN computes fast in bf16


class FastDepthwise(nn.Module):
    """A network whose depthwise convolutions have faster gradients in bf16 on a CPU.

    Args:
        network: shares its parameters, and stays as it is.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute what the network does of images (n, 3, height, width)."""
        with _DepthwiseMode():
            return cast(torch.Tensor, self.network(images))


def with_fast_depthwise(network: nn.Module) -> nn.Module:
    """Wrap a network, if it has depthwise convolutions.

    Args:
        network: to train on a CPU in bf16.

    Returns:
        The network with faster gradients, or `network` itself.

    Example:
        >>> with_fast_depthwise(nn.Conv2d(3, 8, 3))
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    is_depthwise = any(
        module.groups > 1 and module.groups == module.in_channels == module.out_channels
        for module in convolutions
    )
    return FastDepthwise(network) if is_depthwise else network


class _DepthwiseMode(TorchFunctionMode):
    """Computes depthwise `conv2d` of bf16 by `_DepthwiseConvolution`, and all else as usual."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.conv2d:
            found = _depthwise_arguments(*args, **kwargs)
            if found is not None:
                return _DepthwiseConvolution.apply(*found)
        return func(*args, **kwargs)


_Pair = tuple[int, int]
_Arguments = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, _Pair, _Pair]


def _depthwise_arguments(
    images: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Arguments | None:
    """Return the arguments of `_DepthwiseConvolution`; None for another convolution."""
    is_depthwise = images.ndim == 4 and groups > 1 and groups == images.shape[1] == len(weight)
    computes_bf16 = images.dtype == torch.bfloat16 or (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    if (
        not (is_depthwise and computes_bf16)
        or isinstance(padding, str)
        or _pair(dilation) != (1, 1)
    ):
        return None
    steps = _pair(stride)
    margins = _pair(padding)
    sides = weight.shape[2:]
    if any(margin >= side for margin, side in zip(margins, sides, strict=True)):
        return None
    to_bf16 = (
        tensor if tensor is None else tensor.to(torch.bfloat16) for tensor in (images, weight, bias)
    )
    return (*to_bf16, steps, margins)  # type: ignore[return-value]


def _pair(value: Any) -> _Pair:
    """Give both numbers of an argument of `conv2d`."""
    if isinstance(value, int):
        return value, value
    numbers = tuple(value)
    return (numbers[0], numbers[-1])


class _DepthwiseConvolution(torch.autograd.Function):
    """A depthwise convolution in bf16, with the gradients that the module describes."""

    @staticmethod
    def forward(
        ctx: Any,
        images: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: _Pair,
        padding: _Pair,
    ) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride = stride
        ctx.padding = padding
        return functional.conv2d(images, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        wants_images, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        of_images = of_weight = of_bias = None
        if wants_images and ctx.stride == (1, 1):
            (of_images, _) = _native(gradient, images, weight, ctx, [True, False])
        elif wants_images:
            of_images = _images_gradient(gradient, images.shape, weight, ctx.stride, ctx.padding)
        if wants_weight:
            is_fast = max(weight.shape[2:]) <= MAX_FAST_WEIGHT
            dtype = torch.bfloat16 if is_fast else torch.float32
            of_weight = _native(
                gradient.to(dtype), images.to(dtype), weight.to(dtype), ctx, [False, True]
            )[1].to(torch.bfloat16)
        if wants_bias:
            of_bias = gradient.sum(dim=(0, 2, 3))
        return of_images, of_weight, of_bias, None, None


def _native(
    gradient: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, ctx: Any, mask: list[bool]
) -> Sequence[torch.Tensor]:
    """Compute the gradients of input and weight that `mask` asks for, by PyTorch's own code."""
    found: Sequence[torch.Tensor] = torch.ops.aten.convolution_backward(
        gradient,
        images,
        weight,
        None,
        ctx.stride,
        ctx.padding,
        (1, 1),
        False,
        (0, 0),
        len(weight),
        [*mask, False],
    )
    return found[:2]


def _images_gradient(
    gradient: torch.Tensor, shape: torch.Size, weight: torch.Tensor, stride: _Pair, padding: _Pair
) -> torch.Tensor:
    """Compute the gradient of the input by a convolution with the mirrored weight."""
    rows, columns = (
        side + 2 * margin - length + 1
        for side, margin, length in zip(shape[2:], padding, weight.shape[2:], strict=True)
    )
    spread = gradient.new_zeros((*shape[:2], rows, columns))
    spread = spread.contiguous(memory_format=torch.channels_last)
    spread[:, :, :: stride[0], :: stride[1]] = gradient
    margins = tuple(
        length - 1 - margin for length, margin in zip(weight.shape[2:], padding, strict=True)
    )
    return functional.conv2d(spread, weight.flip(2, 3), None, 1, margins, groups=len(weight))
