"""The operations of a Core ML program -> what each computes, by PyTorch.

Their meaning is that of coremltools' reference ("MIL Ops"). The table has what networks that
classify images are converted to; a variant that is not computed rightly here is refused. Knows
nothing of files.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Inputs = Mapping[str, Any]  # of an operation, by their names: tensors, numbers, texts, lists
TYPES = {
    "bool": torch.bool,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "int32": torch.int32,
    "uint8": torch.uint8,
}
# Of resampling: corners are not aligned, and pixels have their centers in the middle.
CENTERED = "UNALIGN_CORNERS"


class UnknownOperationError(Exception):
    """The file has an operation, or a variant of one, that is not computed here."""


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Inputs], Tensor]:
    return lambda given: function(_tensor(given["x"]), _tensor(given["y"]))


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Inputs], Tensor]:
    return lambda given: function(given["x"])


def _with_epsilon(function: Callable[[Tensor], Tensor]) -> Callable[[Inputs], Tensor]:
    return lambda given: function(given["x"] + given.get("epsilon", 0.0))


def _reduced(function: Callable[..., Tensor]) -> Callable[[Inputs], Tensor]:
    def reduce(given: Inputs) -> Tensor:
        axes = given.get("axes") or list(range(given["x"].ndim))
        return function(given["x"], dim=axes, keepdim=given.get("keep_dims", False))

    return reduce


def _padding(given: Inputs, kernel: list[int]) -> list[int]:
    """The pixels before and after each side, in the order of `torch.nn.functional.pad`."""
    kind = given.get("pad_type", "valid")
    if kind == "valid":
        pairs = [(0, 0)] * len(kernel)
    elif kind == "custom":
        pad = given["pad"]
        pairs = [(pad[2 * side], pad[2 * side + 1]) for side in range(len(kernel))]
    else:
        pairs = [_same_padding(given, side, kernel[side], kind) for side in range(len(kernel))]
    return [number for pair in reversed(pairs) for number in pair]


def _same_padding(given: Inputs, side: int, kernel: int, kind: str) -> tuple[int, int]:
    """As many pixels as make the output `ceil(length / stride)` long."""
    length = given["x"].shape[2 + side]
    stride = given.get("strides", [1] * 4)[side]
    reach = given.get("dilations", [1] * 4)[side] * (kernel - 1) + 1
    missing = max(0, (math.ceil(length / stride) - 1) * stride + reach - length)
    first = missing // 2 if kind == "same" else missing - missing // 2
    return first, missing - first


def _convolved(given: Inputs) -> Tensor:
    weight = given["weight"]
    padded = functional.pad(given["x"], _padding(given, list(weight.shape[2:])))
    convolve = {3: functional.conv1d, 4: functional.conv2d}[weight.ndim]
    return convolve(
        padded,
        weight,
        given.get("bias"),
        given.get("strides", 1),
        0,
        given.get("dilations", 1),
        given.get("groups", 1),
    )


def _pooled(largest: bool) -> Callable[[Inputs], Tensor]:
    def pool(given: Inputs) -> Tensor:
        kernel = given["kernel_sizes"]
        if len(kernel) != 2:
            raise UnknownOperationError("pooling in one dimension")
        padding = _padding(given, kernel)
        strides = given.get("strides", [1, 1])
        image = given["x"]
        padded = functional.pad(image, padding, value=-math.inf if largest else 0.0)
        if given.get("ceil_mode", False):
            _check_whole_steps(padded.shape[2:], kernel, strides)
        if largest:
            return functional.max_pool2d(padded, kernel, strides)
        sums = functional.avg_pool2d(padded, kernel, strides)
        if not given.get("exclude_padding_from_average", False):
            return sums
        shares = functional.pad(torch.ones_like(image), padding)
        return sums / functional.avg_pool2d(shares, kernel, strides)

    return pool


def _check_whole_steps(sides: Sequence[int], kernel: list[int], strides: list[int]) -> None:
    """Refuse a pool that rounds its size up, where that makes a difference."""
    for side, length, stride in zip(sides, kernel, strides, strict=True):
        if (side - length) % stride:
            raise UnknownOperationError("pooling with its size rounded up")


def _layer_norm(given: Inputs) -> Tensor:
    image = _tensor(given["x"])
    axes = [axis % image.ndim for axis in given["axes"]]
    mean = image.mean(dim=axes, keepdim=True)
    spread = image.var(dim=axes, keepdim=True, correction=0)
    normal = (image - mean) * torch.rsqrt(spread + given.get("epsilon", 1e-5))
    shape = [length if axis in axes else 1 for axis, length in enumerate(image.shape)]
    for name, apply in (("gamma", torch.mul), ("beta", torch.add)):
        if name in given:
            normal = apply(normal, given[name].reshape(shape))
    return normal


def _batch_norm(given: Inputs) -> Tensor:
    return functional.batch_norm(
        given["x"],
        given["mean"],
        given["variance"],
        given.get("gamma"),
        given.get("beta"),
        eps=given.get("epsilon", 1e-5),
    )


def _gelu(given: Inputs) -> Tensor:
    mode = given.get("mode", "EXACT")
    if mode not in ("EXACT", "TANH_APPROXIMATION"):
        raise UnknownOperationError(f"gelu, {mode}")
    return functional.gelu(given["x"], approximate="none" if mode == "EXACT" else "tanh")


def _matmul(given: Inputs) -> Tensor:
    left, right = _tensor(given["x"]), _tensor(given["y"])
    if given.get("transpose_x", False):
        left = left.transpose(-1, -2)
    if given.get("transpose_y", False):
        right = right.transpose(-1, -2)
    return left @ right


def _reshaped(given: Inputs) -> Tensor:
    lengths = [
        given["x"].shape[axis] if length == 0 else length
        for axis, length in enumerate(_whole_numbers(given["shape"]))
    ]
    return _tensor(given["x"].reshape(lengths))


def _whole_numbers(value: Any) -> list[int]:
    return [int(number) for number in _tensor(value).flatten()]


def _squeezed(given: Inputs) -> Tensor:
    axes = given.get("axes")
    return given["x"].squeeze(tuple(axes)) if axes else given["x"].squeeze()  # type: ignore[no-any-return]


def _expanded(given: Inputs) -> Tensor:
    image = _tensor(given["x"])
    axes = [axis % (image.ndim + len(given["axes"])) for axis in given["axes"]]
    for axis in sorted(axes):
        image = image.unsqueeze(axis)
    return image


def _joined(given: Inputs) -> Tensor:
    if given.get("interleave", False):
        raise UnknownOperationError("concat, interleaved")
    return torch.cat([_tensor(value) for value in given["values"]], dim=given["axis"])


def split(given: Inputs) -> list[Tensor]:
    """Split a tensor along an axis: the only operation with several outputs.

    Args:
        given: x, axis, and split_sizes or num_splits.

    Returns:
        The parts.
    """
    axis = given["axis"]
    sizes = given.get("split_sizes")
    if sizes is None:
        sizes = [given["x"].shape[axis] // given["num_splits"]] * given["num_splits"]
    return list(given["x"].split(_whole_numbers(sizes), dim=axis))


def _sliced(given: Inputs) -> Tensor:
    """Slices of each axis; by NumPy, which takes negative steps too."""
    image = _tensor(given["x"])
    n_axes = image.ndim
    none = [False] * n_axes
    begins, ends = _whole_numbers(given["begin"]), _whole_numbers(given["end"])
    steps = given.get("stride") or [1] * n_axes
    begin_mask, end_mask = given.get("begin_mask") or none, given.get("end_mask") or none
    squeezed = given.get("squeeze_mask") or none
    slices: list[slice | int] = []
    for axis in range(n_axes):
        begin = None if begin_mask[axis] else begins[axis]
        end = None if end_mask[axis] else ends[axis]
        slices.append(begins[axis] if squeezed[axis] else slice(begin, end, steps[axis]))
    return torch.as_tensor(image.numpy()[tuple(slices)].copy())


def _resampled(given: Inputs) -> Tensor:
    """Bilinear, with centered pixels."""
    height, width = given["x"].shape[2:]
    if "target_size_height" in given:
        is_centered = given.get("sampling_mode", "DEFAULT") == CENTERED
        sides = given["target_size_height"], given["target_size_width"]
    else:
        is_centered = not given.get("align_corners", True) and given.get("half_pixel_centers", True)
        sides = (
            math.floor(height * given["scale_factor_height"] + 1e-4),
            math.floor(width * given["scale_factor_width"] + 1e-4),
        )
    if not is_centered:
        raise UnknownOperationError("resampling with aligned corners")
    return functional.interpolate(given["x"], sides, mode="bilinear", align_corners=False)


def _padded(given: Inputs) -> Tensor:
    if given.get("mode", "constant") != "constant":
        raise UnknownOperationError(f"pad, {given['mode']}")
    pairs = [given["pad"][start : start + 2] for start in range(0, len(given["pad"]), 2)]
    widths = [number for pair in reversed(pairs) for number in pair]
    return functional.pad(given["x"], widths, value=given.get("constant_val", 0.0))


def _gathered(given: Inputs) -> Tensor:
    indices = _tensor(given["indices"]).long()
    axis = given.get("axis", 0)
    if given.get("batch_dims", 0):
        raise UnknownOperationError("gather, by batches")
    picked = given["x"].index_select(axis, indices.flatten())
    shape = given["x"].shape
    axis %= len(shape)
    return _tensor(picked.reshape(*shape[:axis], *indices.shape, *shape[axis + 1 :]))


def _attention(given: Inputs) -> Tensor:
    return functional.scaled_dot_product_attention(
        given["query"], given["key"], given["value"], attn_mask=given.get("attn_mask")
    )


OPERATIONS: dict[str, Callable[[Inputs], Tensor]] = {
    # Element by element
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.div),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "greater": _binary(torch.gt),
    "less": _binary(torch.lt),
    "equal": _binary(torch.eq),
    "abs": _unary(torch.abs),
    "cast": lambda given: _tensor(given["x"]).to(TYPES[given["dtype"]]),
    "clip": lambda given: given["x"].clamp(given["alpha"], given["beta"]),
    "elu": lambda given: functional.elu(given["x"], given["alpha"]),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "floor": _unary(torch.floor),
    "gelu": _gelu,
    "identity": _unary(_tensor),
    "inverse": _with_epsilon(torch.reciprocal),
    "leaky_relu": lambda given: functional.leaky_relu(given["x"], given["alpha"]),
    "log": _with_epsilon(torch.log),
    "relu": _unary(torch.relu),
    "relu6": _unary(functional.relu6),
    "round": _unary(torch.round),
    "rsqrt": _with_epsilon(torch.rsqrt),
    "select": lambda given: torch.where(given["cond"], _tensor(given["a"]), _tensor(given["b"])),
    "sigmoid": _unary(torch.sigmoid),
    "sigmoid_hard": lambda given: (given["alpha"] * given["x"] + given["beta"]).clamp(0, 1),
    "sign": _unary(torch.sign),
    "silu": _unary(functional.silu),
    "softplus": _unary(functional.softplus),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "tanh": _unary(torch.tanh),
    # Layers
    "avg_pool": _pooled(largest=False),
    "batch_norm": _batch_norm,
    "conv": _convolved,
    "einsum": lambda given: torch.einsum(given["equation"], *given["values"]),
    "layer_norm": _layer_norm,
    "linear": lambda given: functional.linear(given["x"], given["weight"], given.get("bias")),
    "matmul": _matmul,
    "max_pool": _pooled(largest=True),
    "resize_bilinear": _resampled,
    "scaled_dot_product_attention": _attention,
    "softmax": lambda given: given["x"].softmax(given.get("axis", -1)),
    "upsample_bilinear": _resampled,
    # Over axes
    "reduce_argmax": lambda given: given["x"].argmax(given["axis"], given.get("keep_dims", False)),
    "reduce_log_sum_exp": _reduced(torch.logsumexp),
    "reduce_max": _reduced(torch.amax),
    "reduce_mean": _reduced(torch.mean),
    "reduce_min": _reduced(torch.amin),
    "reduce_sum": _reduced(torch.sum),
    # Shapes
    "concat": _joined,
    "expand_dims": _expanded,
    "gather": _gathered,
    "pad": _padded,
    "reshape": _reshaped,
    "reverse": lambda given: given["x"].flip(given["axes"]),
    "slice_by_index": _sliced,
    "squeeze": _squeezed,
    "stack": lambda given: torch.stack(given["values"], dim=given["axis"]),
    "tile": lambda given: given["x"].tile(tuple(_whole_numbers(given["reps"]))),
    "transpose": lambda given: given["x"].permute(given["perm"]),
}
