"""Accuracies with fewer images -> a power law, and what it promises of more, to twice as many.

The error of a classifier falls about as a power of the number of training images (Hestness et al.
2017, arXiv:1712.00409). Each draw of images has its own law. The interval holds how far the laws
differ, and that they flatten: measured on photographs, up to half of the promised gain did not come
(benchmarks/honesty/curve.py). A forecast of the accuracy also has the spread of the scored images
in it. Knows nothing of images, features or heads.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from bestiary.stats.intervals import Z95, Interval, wilson_interval

MAX_FACTOR = 2.0  # a power law is not believed further
LAW_DOUBT = 0.5  # share of a gain that may fail to come, or come on top


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by share of the training images, over several draws.

    Attributes:
        shares: shares of the training images, rising, the last is 1 (sizes,).
        images_per_class: mean number of training images of a class at each share (sizes,).
        accuracies: accuracy at each share with its interval, all draws together.
        by_draw: accuracy of each draw (draws, sizes).
        images: images that were scored, all draws together.
        class_hits: right images of each class at each share, all draws together (sizes, classes).
        class_images: scored images of each class, all draws together (classes,).
        repeats: how often an image was scored, on average, 1 or more: so many times fewer images
            are the evidence.
    """

    shares: NDArray[np.float64]
    images_per_class: NDArray[np.float64]
    accuracies: list[Interval]
    by_draw: NDArray[np.float64]
    images: int
    class_hits: NDArray[np.int64]
    class_images: NDArray[np.int64]
    repeats: float = 1.0

    @classmethod
    def of(
        cls,
        shares: NDArray[np.float64],
        images_per_class: NDArray[np.float64],
        class_hits: NDArray[np.int64],
        class_scored: NDArray[np.int64],
        repeats: float = 1.0,
    ) -> Self:
        """Summarize counts of hits.

        The interval of each share is that of the mean of the draws, and never narrower than
        Wilson's for the images that were scored.

        Args:
            shares: see the attributes.
            images_per_class: see the attributes.
            class_hits: right images of each draw, share and class (draws, sizes, classes).
            class_scored: images of each draw and class (draws, classes).
            repeats: see the attributes.
        """
        hits = class_hits.sum(axis=2)
        scored = class_scored.sum(axis=1)
        by_draw = hits / scored[:, None]
        means = hits.sum(axis=0) / scored.sum()
        spread = _half_widths(by_draw)
        accuracies = []
        for mean, half in zip(means.tolist(), spread.tolist(), strict=True):
            # Draws that agree, such as all without a mistake, do not make the images more.
            low, high = wilson_interval(mean, float(scored.sum()) / repeats)
            accuracies.append(
                Interval(mean, max(0.0, min(low, mean - half)), min(1.0, max(high, mean + half)))
            )
        return cls(
            shares,
            images_per_class,
            accuracies,
            by_draw,
            int(scored.sum()),
            class_hits.sum(axis=0),
            class_scored.sum(axis=0),
            repeats,
        )

    def gain(self, factor: float = MAX_FACTOR) -> Interval:
        """Estimate how much more accurate `factor` times as many images would make it.

        Args:
            factor: 1 to `MAX_FACTOR`.

        Returns:
            Difference of accuracy, with the interval of the draws and of the law itself.

        Raises:
            ValueError: the factor is larger: nothing here says what happens there.
        """
        if not 1 <= factor <= MAX_FACTOR:
            raise ValueError(f"a forecast for {factor:g} times the images is not to be believed")
        gains = [self._gain_of(draw, factor) for draw in range(len(self.by_draw))]
        half = float(_half_widths(np.array(gains)[:, None])[0])
        mean = float(np.mean(gains))
        half = float(np.hypot(half, LAW_DOUBT * mean))
        # The law knows no mistakes of its own images: where few are left, it may promise more.
        room = 1 - self.accuracies[-1].value
        return Interval(*(min(room, value) for value in (mean, mean - half, mean + half)))

    def forecast(self, factor: float = MAX_FACTOR) -> Interval:
        """Estimate the accuracy with `factor` times as many images.

        Args:
            factor: 1 to `MAX_FACTOR`.

        Returns:
            Accuracy, with the interval of the gain and of the images that were scored.
        """
        gain = self.gain(factor)
        now = self.accuracies[-1].value
        images = self.images / self.repeats
        inside = float(np.clip(now, 0.5 / images, 1 - 0.5 / images))
        sampling = Z95 * np.sqrt(inside * (1 - inside) / images)
        half = float(np.hypot(gain.value - gain.low, sampling))
        value = now + gain.value
        return Interval(value, max(0.0, value - half), min(1.0, value + half))

    def class_recall(self, number: int) -> Interval:
        """Recall of a class with all images, and Wilson's interval; of a class that was scored."""
        images = int(self.class_images[number])
        value = float(self.class_hits[-1, number] / images)
        return Interval(value, *wilson_interval(value, images / self.repeats))

    def class_forecast(self, number: int, factor: float = MAX_FACTOR) -> Interval:
        """Estimate the recall of a class with `factor` times as many images of every class.

        One class has too few mistakes for a law of its own. Its mistakes fall as those of all.

        Args:
            number: of the class.
            factor: 1 to `MAX_FACTOR`.
        """
        now = self.class_recall(number)
        left = self._errors_left(factor)
        # Between no gain at all and half as much again.
        fewest = max(0.0, 1 - (1 + LAW_DOUBT) * (1 - left))
        return Interval(1 - (1 - now.value) * left, now.low, 1 - (1 - now.high) * fewest)

    def _errors_left(self, factor: float) -> float:
        """The share of the mistakes that `factor` times as many images leave, 0 to 1."""
        error = 1 - self.accuracies[-1].value
        return 1.0 if error <= 0 else max(0.0, 1 - self.gain(factor).value / error)

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
