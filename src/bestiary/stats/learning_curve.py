"""Accuracies with fewer images -> a power law, and what it promises of more, to twice as many.

The error of a classifier falls about as a power of the number of training images (Hestness et al.
2017, arXiv:1712.00409). Each draw of images has its own law; how far they differ is the interval.
Knows nothing of images, features or heads.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from bestiary.stats.intervals import Interval

MAX_FACTOR = 2.0  # a power law is not believed further


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by share of the training images, over several draws.

    Attributes:
        shares: shares of the training images, rising, the last is 1 (sizes,).
        images_per_class: mean number of training images of a class at each share (sizes,).
        accuracies: accuracy at each share with its interval, all draws together.
        by_draw: accuracy of each draw (draws, sizes).
        images: images that were scored, all draws together.
    """

    shares: NDArray[np.float64]
    images_per_class: NDArray[np.float64]
    accuracies: list[Interval]
    by_draw: NDArray[np.float64]
    images: int

    @classmethod
    def of(
        cls,
        shares: NDArray[np.float64],
        images_per_class: NDArray[np.float64],
        hits: NDArray[np.int64],
        scored: NDArray[np.int64],
    ) -> Self:
        """Summarize counts of hits.

        The interval of each share is that of the mean of the draws.

        Args:
            shares: see the attributes.
            images_per_class: see the attributes.
            hits: right images of each draw and share (draws, sizes).
            scored: images of each draw (draws,).
        """
        by_draw = hits / scored[:, None]
        means = hits.sum(axis=0) / scored.sum()
        spread = _half_widths(by_draw)
        accuracies = [
            Interval(float(mean), float(max(0.0, mean - half)), float(min(1.0, mean + half)))
            for mean, half in zip(means, spread, strict=True)
        ]
        return cls(shares, images_per_class, accuracies, by_draw, int(scored.sum()))

    def gain(self, factor: float = MAX_FACTOR) -> Interval:
        """Estimate how much more accurate `factor` times as many images would make it.

        Args:
            factor: 1 to `MAX_FACTOR`.

        Returns:
            Difference of accuracy, with the interval of the draws.

        Raises:
            ValueError: the factor is larger: nothing here says what happens there.
        """
        if not 1 <= factor <= MAX_FACTOR:
            raise ValueError(f"a forecast for {factor:g} times the images is not to be believed")
        gains = [self._gain_of(draw, factor) for draw in range(len(self.by_draw))]
        half = float(_half_widths(np.array(gains)[:, None])[0])
        mean = float(np.mean(gains))
        return Interval(mean, mean - half, mean + half)

    def law(self, factors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Accuracy of the law through the means at multiples of today's images (factors,)."""
        if factors.max() > MAX_FACTOR:
            raise ValueError(f"the law is not drawn beyond {MAX_FACTOR:g} times the images")
        means = np.array([accuracy.value for accuracy in self.accuracies])
        slope, height = self._fit(1 - means)
        return np.asarray(1 - np.exp(height + slope * np.log(factors)))

    def _gain_of(self, draw: int, factor: float) -> float:
        slope, height = self._fit(1 - self.by_draw[draw])
        return float(np.exp(height) - np.exp(height + slope * np.log(factor)))

    def _fit(self, errors: NDArray[np.float64]) -> tuple[float, float]:
        """Slope and height of a line through the logarithms; more images never make it worse."""
        # Half a mistake keeps the logarithm of no mistake finite.
        floor = 0.5 / max(1.0, self.images / len(self.by_draw))
        slope, height = np.polyfit(np.log(self.shares), np.log(np.maximum(errors, floor)), 1)
        if slope > 0:
            return 0.0, float(np.log(np.maximum(errors, floor)).mean())
        return float(slope), float(height)


def _half_widths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the 95 % interval of the mean of each column (draws, columns), by Student's t."""
    draws = len(values)
    errors = values.std(axis=0, ddof=1) / np.sqrt(draws)
    return np.asarray(student_t.ppf(0.975, draws - 1) * errors)
