"""A uint8 array or tensor -> the images in it, and their pixels (height, width, 3).

NumPy arrays are (height, width, 3). Tensors are that or (3, height, width), whichever their shape
says. Anything else could be misread, so it is refused with the expression that converts it. Knows
nothing of files.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.errors import ArgumentError

ArrayOrTensor = NDArray[Any] | torch.Tensor
RGB = 3
OVERSHOOT = 0.05  # share of the range by which resizing may have left it

# Dimensions, axis of the channels, their number (None: any) -> the expression that converts it.
_Remedy = tuple[int, int, int | None, str]
_ARRAY_REMEDIES: list[_Remedy] = [
    (1, 0, None, "the bytes of a file as image.tobytes()"),
    (2, 0, None, "PIL.Image.fromarray(image)"),
    (3, 2, 4, "PIL.Image.fromarray(image)"),
    (3, 2, 1, "image.repeat(3, axis=2)"),
    (3, 0, 3, "image.transpose(1, 2, 0)"),
    (3, 0, 1, "PIL.Image.fromarray(image[0])"),
    (3, 0, 4, "PIL.Image.fromarray(image.transpose(1, 2, 0))"),
    (4, 1, 3, "image.transpose(0, 2, 3, 1)"),
    (4, 3, 1, "image.repeat(3, axis=3)"),
    (4, 3, 4, "[PIL.Image.fromarray(one) for one in image]"),
]
_TENSOR_REMEDIES: list[_Remedy] = [
    (1, 0, None, "the bytes of a file as image.cpu().numpy().tobytes()"),
    (2, 0, None, "PIL.Image.fromarray(image.cpu().numpy())"),
    (3, 0, 1, "PIL.Image.fromarray(image[0].cpu().numpy())"),
    (3, 0, 4, "PIL.Image.fromarray(image.permute(1, 2, 0).cpu().numpy())"),
    (3, 2, 1, "image.expand(-1, -1, 3)"),
    (3, 2, 4, "PIL.Image.fromarray(image.cpu().numpy())"),
    (4, 1, 1, "image.expand(-1, 3, -1, -1)"),
    (4, 3, 1, "image.expand(-1, -1, -1, 3)"),
]


def array_images(batch: ArrayOrTensor) -> Sequence[Any]:
    """List the images of an array or tensor.

    Args:
        batch: one image, a batch of images (4 dimensions), or an array of paths or other objects.

    Returns:
        The images.

    Raises:
        ArgumentError: it is none of these.

    Example:
        >>> len(array_images(np.zeros((5, 48, 64, 3), np.uint8)))
        5
    """
    if batch.ndim > 0 and len(batch) == 0 and batch.ndim != 3:
        return []
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "OUT":
        if batch.ndim != 1:
            raise ArgumentError(f"{_describe(batch)}: pass images in one dimension, images.ravel()")
        return list(batch)
    if batch.ndim != 4:
        return [batch]

    if isinstance(batch, torch.Tensor):
        return list(_check_layout(_to_numpy(batch), batch))
    return list(_check_layout(_check_array(batch), batch))


def array_pixels(image: ArrayOrTensor) -> Pixels:
    """Return the pixels of an image.

    Args:
        image: uint8, an array (height, width, 3), or a tensor of that or (3, height, width).

    Returns:
        uint8 (height, width, 3).

    Raises:
        ArgumentError: dtype or shape is another; the message has the expression that converts it.

    Example:
        >>> array_pixels(torch.zeros((3, 48, 64), dtype=torch.uint8)).shape
        (48, 64, 3)
    """
    if image.ndim == 4:
        raise ArgumentError(
            f"{_describe(image)}: is a batch among other images; pass images of one batch, or "
            "list(image)"
        )
    array = _to_numpy(image) if isinstance(image, torch.Tensor) else _check_array(image)
    pixels = _check_layout(array, image)
    if not pixels.size:
        raise ArgumentError(f"{_describe(image)}: has no pixels; leave it out")
    return pixels


def _to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """Copy a tensor to the CPU, once its type is checked."""
    if (
        tensor.layout != torch.strided
        or tensor.is_quantized
        or tensor.is_meta
        or tensor.is_complex()
    ):
        raise ArgumentError(f"{_describe(tensor)}: has no plain values; pass a dense uint8 tensor")
    if tensor.dtype != torch.uint8:
        raise _wrong_dtype(tensor, tensor.detach().cpu().to(torch.float64).numpy())
    return tensor.detach().cpu().numpy()


def _check_array(array: NDArray[Any]) -> NDArray[Any]:
    if isinstance(array, np.ma.MaskedArray):
        raise ArgumentError(f"{_describe(array)}: is masked; fill it first, image.filled(0)")
    if array.dtype.kind == "S":
        raise ArgumentError(f"{_describe(array)}: drops zeros at the end; pass a list of bytes")
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{_describe(array)}: has no pixels; pass uint8 (height, width, 3)")
    if array.dtype != np.uint8:
        raise _wrong_dtype(array, array)
    return np.asarray(array)


def _wrong_dtype(image: ArrayOrTensor, values: NDArray[Any]) -> ArgumentError:
    """Name the expression that turns these values into uint8."""
    is_tensor = isinstance(image, torch.Tensor)
    as_uint8 = ".to(torch.uint8)" if is_tensor else ".astype('uint8')"
    low = float(values.min()) if values.size else 0.0
    high = float(values.max()) if values.size else 0.0
    dtype = str(image.dtype)
    if dtype.endswith("bool"):
        remedy = f"pass image{as_uint8} * 255"
    elif dtype.endswith("uint16"):
        remedy = f"pass (image / 257).round(){as_uint8}"
    elif not (low >= -OVERSHOOT and high <= 255 * (1 + OVERSHOOT)):
        remedy = f"undo its normalization to values of 0 to 255, then image.round(){as_uint8}"
    elif "float" in dtype and high <= 1 + OVERSHOOT:
        remedy = f"pass (image.clip(0, 1) * 255).round(){as_uint8}"
    else:
        remedy = f"pass image.clip(0, 255).round(){as_uint8}"
    return ArgumentError(f"{_describe(image)}: is not uint8; {remedy}")


def _check_layout(array: NDArray[Any], image: ArrayOrTensor) -> Pixels:
    """Return uint8 values with the channels last; refuse where they cannot be told."""
    dims = array.ndim - 3  # dimensions before those of an image
    if array.ndim not in (3, 4):
        raise _wrong_shape(image)
    is_last = array.shape[-1] == RGB
    is_first = array.shape[dims] == RGB
    if not isinstance(image, torch.Tensor):
        if is_last:
            return array
        raise _wrong_shape(image)

    if is_last and is_first:
        order = "1, 2, 0" if dims == 0 else "0, 2, 3, 1"
        raise ArgumentError(
            f"{_describe(image)}: either side may be the channels; pass image.cpu().numpy(), or "
            f"image.permute({order}).cpu().numpy() if the first is"
        )
    if is_last:
        return array
    if is_first:
        return np.moveaxis(array, dims, -1)
    raise _wrong_shape(image)


def _wrong_shape(image: ArrayOrTensor) -> ArgumentError:
    """Name the expression that turns this shape into one that is accepted."""
    shape = tuple(image.shape)
    remedies = _TENSOR_REMEDIES if isinstance(image, torch.Tensor) else _ARRAY_REMEDIES
    for dims, channel_axis, channels, expression in remedies:
        if len(shape) == dims and channels in (None, shape[channel_axis]):
            remedy = f"pass {expression}"
            break
    else:
        remedy = "pass uint8 (height, width, 3)"
    return ArgumentError(f"{_describe(image)}: is not RGB; {remedy}")


def _describe(image: ArrayOrTensor) -> str:
    kind = "tensor" if isinstance(image, torch.Tensor) else "array"
    dtype = str(image.dtype).removeprefix("torch.")
    return f"{kind} {dtype} {tuple(image.shape)}"
