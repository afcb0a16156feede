"""A last layer that is given the square root of the features, which evens out those that vary with
their size.

Pooled activations are skewed: a few images have several times as much of a feature as others of
their class. A linear layer, and a discriminant more so, tells classes better apart by the roots
(power normalization: Perronnin et al. 2010, doi:10.1007/978-3-642-15561-1_11; measured here by
benchmarks/bench_head_parts.py).
"""

import torch
from torch import nn
from torch.nn import functional

# Keeps the slope at 0 finite, so that a network can be fine-tuned through the root.
_SHIFT = 0.01


def root(features: torch.Tensor) -> torch.Tensor:
    """The signed square root of `features`, of any shape: odd, smooth enough to train through, 0
    at 0.
    """
    rooted: torch.Tensor = (features.abs() + _SHIFT).sqrt() - _SHIFT**0.5
    return features.sign() * rooted


class PowerNormLinear(nn.Linear):
    """A linear layer of the `root` of its input; its weights are named and shaped as
    `nn.Linear`'s.
    """

    @classmethod
    def instead_of(cls, layer: nn.Linear) -> "PowerNormLinear":
        """One with `layer`'s parameters."""
        made = cls(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        made.weight, made.bias = layer.weight, layer.bias
        return made

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Outputs (n, classes) of features (n, features)."""
        return functional.linear(root(features), self.weight, self.bias)
