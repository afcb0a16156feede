"""A block in which networks are built without random numbers: their weights are loaded next.

Drawing the weights of a network of 80 million takes more than half a second of one core, several
times as long as copying a member's into it. Knows nothing of files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWING = (
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_uniform_,
)


class Undrawn(TorchFunctionMode):
    """Inside its block, parameters that would be drawn at random become zeros.

    Buffers are drawn all the same: those that are in no file of weights could not be loaded.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func not in DRAWING:
            return func(*args, **options)
        tensor = args[0] if args else options["tensor"]
        if not isinstance(tensor, nn.Parameter):
            return func(*args, **options)
        tensor.detach().zero_()
        return tensor
