"""Span of few images: features -> coordinates in the space that the images span, and back.

With fewer images than features, a head's weights lie in the span of the images: there is nothing
to learn outside of it. Coordinates there are far fewer than the features, and have the same
distances and scalar products. Knows nothing of labels and heads.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

# Directions with less of the largest variance than this are noise of the arithmetic.
MIN_VARIANCE = 1e-10

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """The space that some images span.

    Attributes:
        center: mean of the features, (features,).
        basis: orthonormal, (features, coordinates).
        coordinates: of each image, (images, coordinates); their mean is 0.
    """

    center: Floats
    basis: Floats
    coordinates: Floats

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Self:
        """Find the span of images, by the eigenvectors of their Gram matrix.

        Args:
            features: (images, features), not all the same.
        """
        wide = features.astype(np.float64)
        center = wide.mean(axis=0)
        centered = wide - center
        squares, vectors = eigh(centered @ centered.T)
        is_direction = squares > MIN_VARIANCE * squares[-1]
        lengths = np.sqrt(squares[is_direction])
        coordinates = vectors[:, is_direction] * lengths
        basis = centered.T @ (vectors[:, is_direction] / lengths)
        return cls(center, basis, coordinates)

    def layer(self, weights: Floats, biases: Floats) -> tuple[Floats, Floats]:
        """Turn a linear layer of coordinates into the same layer of features.

        Args:
            weights: (classes, coordinates).
            biases: (classes,).

        Returns:
            Weights (classes, features) and biases (classes,).
        """
        outer = weights @ self.basis.T
        return outer, biases - outer @ self.center
