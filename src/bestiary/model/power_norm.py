"""Power normalization: a linear head on the signed square root of its input features.

Pooled activations are skewed: a few images have several times as much of a feature as others of
their class. Square roots even this out, and a linear layer, a discriminant above all, separates
classes better (Perronnin et al. 2010, doi:10.1007/978-3-642-15561-1_11; measured by
benchmarks/accuracy/head_parts.py). Knows nothing of backbones.
"""

import torch

from bestiary.model.head_linear import HeadLinear

# Keeps the slope at 0 finite, so that a network can be fine-tuned through the square root.
_SHIFT = 0.01


def signed_sqrt(features: torch.Tensor) -> torch.Tensor:
    """Compute the signed square root: odd, 0 at 0, and smooth enough to train through.

    Args:
        features: of any shape.

    Returns:
        A tensor of the same shape.
    """
    magnitude: torch.Tensor = (features.abs() + _SHIFT).sqrt() - _SHIFT**0.5
    return features.sign() * magnitude


class PowerNormLinear(HeadLinear):
    """A head layer on the `signed_sqrt` of its input, with the parameters of `nn.Linear`."""

    def prepare(self, features: torch.Tensor) -> torch.Tensor:
        """Give the `signed_sqrt` of features (n, features)."""
        return signed_sqrt(features)
