"""Two ensembles -> the latency ratio between them on this machine, with its 95 % interval.

The two take turns on the same decoded images, so other load on the machine affects both. Only
ratios within a round count as results. Knows nothing of accuracy.
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
BATCH_SIZES = (1, 16)  # the wait for one image, and the throughput on a folder


@dataclass(frozen=True, slots=True)
class LatencyRatio:
    """Speed-up at one batch size.

    Attributes:
        images: batch size.
        ratio: time of the first ensemble over that of the second, geometric mean of the rounds.
        low: lower end of its 95 % interval, by Student's t on the logarithms.
        high: upper end of that interval.
        before: median seconds of the first ensemble.
        after: median seconds of the second ensemble.
        rounds: number of rounds.
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
            f"{self.images} at a time: {1000 * self.before:.1f} ms before, "
            f"{1000 * self.after:.1f} ms after; {self.ratio:.2f} times as fast "
            f"(95 % interval {self.low:.2f} to {self.high:.2f}, n = {self.rounds})"
        )


def compare_speed(
    first: Ensemble,
    second: Ensemble,
    images: list[NDArray[np.uint8]],
    display: Display,
    rounds: int = ROUNDS,
) -> list[LatencyRatio]:
    """Time two ensembles on the same images, at each of `BATCH_SIZES`.

    Args:
        first: the baseline.
        second: the ensemble to compare with it.
        images: decoded images, uint8 (height, width, 3), of about the size of the views. They
            repeat where there are fewer than a batch.
        display: shows progress.
        rounds: number of timed rounds, at least two.

    Returns:
        One ratio per batch size.
    """
    ratios = []
    done = 0
    total = len(BATCH_SIZES) * (rounds + 1)
    with display.counter("Timing") as tick:
        for size in BATCH_SIZES:
            batch = [images[index % len(images)] for index in range(size)]
            times: list[tuple[float, float]] = []
            for _ in range(rounds + 1):
                before = _predict_seconds(first, batch)
                after = _predict_seconds(second, batch)
                times.append((before, after))
                done += 1
                tick(done, total)

            timed = times[1:]  # the first round warms up
            ratios.append(_latency_ratio(size, np.array(timed).T))
    return ratios


def _predict_seconds(ensemble: Ensemble, batch: list[NDArray[np.uint8]]) -> float:
    started = time.perf_counter()
    ensemble.predict_proba(batch)
    return time.perf_counter() - started


def _latency_ratio(size: int, times: NDArray[np.float64]) -> LatencyRatio:
    """Summarize the seconds of both ensembles in each round (2, rounds)."""
    # The interval of the mean logarithm, by Student's t.
    logs = np.log(times[0] / times[1])
    rounds = len(logs)
    mean = float(logs.mean())
    deviation = float(logs.std(ddof=1))
    quantile = float(t.ppf(0.975, rounds - 1))
    half_width = quantile * deviation / math.sqrt(rounds)

    before, after = np.median(times, axis=1).tolist()
    return LatencyRatio(
        images=size,
        ratio=math.exp(mean),
        low=math.exp(mean - half_width),
        high=math.exp(mean + half_width),
        before=before,
        after=after,
        rounds=rounds,
    )
