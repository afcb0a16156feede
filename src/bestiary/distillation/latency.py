"""Two ensembles -> how many times as fast the second is, with its interval, on the machine at hand.

They take turns on the same decoded images, so that what else the machine does meets both; only the
ratios within a round are results. Knows nothing of accuracy.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble

ROUNDS = 9
BATCHES = (1, 16)  # images at a time: how long one waits, and what a folder takes


@dataclass(frozen=True, slots=True)
class LatencyRatio:
    """How much faster, at one number of images at a time.

    Attributes:
        images: at a time.
        ratio: of the first's time to the second's, geometric mean over the rounds.
        low: lower end of its 95 % interval, by Student's t of its logarithm.
        high: upper end.
        before: median seconds of the first.
        after: of the second.
        rounds: how many.
    """

    images: int
    ratio: float
    low: float
    high: float
    before: float
    after: float
    rounds: int

    def __str__(self) -> str:
        return (
            f"{self.images} at a time: {1000 * self.before:.1f} ms before, {1000 * self.after:.1f} "
            f"ms after; "
            f"{self.ratio:.2f} times as fast (95 % interval {self.low:.2f} to {self.high:.2f}, n = "
            f"{self.rounds})"
        )


def compare_speed(
    first: Ensemble,
    second: Ensemble,
    images: list[NDArray[np.uint8]],
    display: Display,
    rounds: int = ROUNDS,
) -> list[LatencyRatio]:
    """Time both on `images`, decoded and of the size of their views or near it, for each of
    `BATCHES`.

    Args:
        first: the one to be compared with.
        second: the other.
        images: uint8 (height, width, 3); gone through again where there are fewer than a batch.
        display: shows how far the work has come.
        rounds: two at least.
    """
    found = []
    with display.counter("Timing") as tick:
        for number, size in enumerate(BATCHES):
            batch = [images[place % len(images)] for place in range(size)]
            times: tuple[list[float], list[float]] = ([], [])
            for done in range(rounds + 1):
                for ensemble, seconds in zip((first, second), times, strict=True):
                    started = time.perf_counter()
                    ensemble.predict_proba(batch)
                    seconds.append(time.perf_counter() - started)
                tick(number * (rounds + 1) + done + 1, len(BATCHES) * (rounds + 1))
            found.append(_speed(size, np.array(times)[:, 1:]))  # the first round warms up
    return found


def _speed(size: int, times: NDArray[np.float64]) -> LatencyRatio:
    """From the seconds of both in each round (2, rounds)."""
    logs = np.log(times[0] / times[1])
    half = float(t.ppf(0.975, len(logs) - 1)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    mean = float(logs.mean())
    before, after = np.median(times, axis=1).tolist()
    return LatencyRatio(
        size, math.exp(mean), math.exp(mean - half), math.exp(mean + half), before, after, len(logs)
    )
