"""Head layer: the last linear layer, in float32 where a GPU computes the rest in bf16 or fp16.

bf16 has 8 bits: a logit of 10 comes in steps of 0.06, so that classes tie and confidences are
coarse. The layer is a thousandth of the network's arithmetic. On a CPU nothing is changed: its bf16
logits are compared with OpenVINO's. Knows nothing of backbones.
"""

from typing import Self

import torch
from torch import nn
from torch.nn import functional

FLOAT32_DEVICES = {"cuda"}


def wants_float32(features: torch.Tensor) -> bool:
    """Check whether a head computes in float32 on the device of its input."""
    return features.device.type in FLOAT32_DEVICES


class HeadLinear(nn.Linear):
    """A linear layer with the parameters and results of `nn.Linear`, in float32 on a GPU."""

    @classmethod
    def from_linear(cls, layer: nn.Linear) -> Self:
        """Make a layer that shares the parameters of `layer`."""
        head = cls(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            device="meta",
        )
        head.weight = layer.weight
        head.bias = layer.bias
        return head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute outputs (n, classes) of features (n, features)."""
        if wants_float32(features):
            with torch.autocast(features.device.type, enabled=False):
                return functional.linear(self.prepare(features.float()), self.weight, self.bias)
        return functional.linear(self.prepare(features), self.weight, self.bias)

    def prepare(self, features: torch.Tensor) -> torch.Tensor:
        """Give what the weights are multiplied by: here the features themselves."""
        return features
