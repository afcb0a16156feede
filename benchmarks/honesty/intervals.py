"""Claims: 95 % intervals hold the truth in 93 to 97 % of samples; 90 % sets hold 89 to 91 %.

    python benchmarks/honesty/intervals.py [--repetitions 1000]

Simulates classes of uneven size and a classifier that makes mistakes; its true scores are those of
a sample of 400,000. Each repetition draws a new sample, in groups of one to four near duplicates,
and checks whether each interval holds the truth. Then prediction sets: thresholds from 1,000
images, coverage on 1,000 others. Last, the time for 10,000 images of 100 classes with 1,000
replicates.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from bestiary.rng import keyed_rng
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.calibration import COVERAGES, Calibration

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "score-intervals": {
        "statement": "95 % intervals of the scores hold the truth",
        "unit": "of the samples covered",
        "bar": ("within", [0.93, 0.97], "what 95 % means, with noise of 1,000 samples"),
        "watches": ("@intervals",),
    },
    "score-intervals-at-the-edge": {
        "statement": "95 % intervals where few images decide: top 5, and calibration error",
        "unit": "of the samples covered",
        "watches": ("@intervals",),
    },
    "prediction-sets": {
        "statement": "Prediction sets hold the truth as often as was asked for",
        "unit": "of the images covered",
        "watches": ("src/bestiary/stats/calibration.py",),
    },
    "intervals-time": {
        "statement": "All intervals of 10,000 images of 100 classes take little time",
        "unit": "s",
        "watches": ("@intervals",),
    },
}
COMMANDS = ("",)


class World:
    """A simulated classifier; `sharpness` above 1 makes it overconfident."""

    def __init__(self, classes: int, sharpness: float, skill: float) -> None:
        self.classes = classes
        self.sharpness = sharpness
        self.skill = skill
        self.shares = np.linspace(1, 2, classes) / np.linspace(1, 2, classes).sum()

    def draw(
        self, groups: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        labels = rng.choice(self.classes, groups, p=self.shares)
        logits = rng.standard_normal((groups, self.classes))
        logits[np.arange(groups), labels] += self.skill
        # The true log posterior, up to a constant.
        posterior = self.skill * logits + np.log(self.shares)
        return softmax(self.sharpness * posterior, axis=1), labels


def repeat(sizes: NDArray[np.int64], *arrays: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    return [np.repeat(array, sizes, axis=0) for array in arrays]


def sets(repetitions: int) -> None:
    """Print the coverage of prediction sets, over all images and for the best and worst class."""
    world = World(10, 2.5, 2.5)
    coverages = {(c, k): [] for c in COVERAGES for k in ("all", "class")}
    for number in range(repetitions):
        (known, labels), (new, truth) = (
            world.draw(1000, keyed_rng(0, name, number)) for name in ("known", "new")
        )
        found = Calibration.fit(np.log(known), labels)
        probabilities = found.probabilities(np.log(new)[None], "logits")
        for (coverage, kind), rows in coverages.items():
            inside = found.set_mask(probabilities, coverage, kind)[np.arange(1000), truth]
            by_class = np.bincount(truth, inside, 10) / np.bincount(truth, minlength=10)
            rows.append([inside.mean(), *by_class])
    for (coverage, kind), rows in coverages.items():
        mean = np.mean(rows, axis=0)
        case = f"sets of {coverage:.0%}, {'over all images' if kind == 'all' else 'for each class'}"
        found = {"all images": mean[0], "worst class": mean[1:].min()}
        record("prediction-sets", found, repetitions, "samples", case=case)
        print(
            f"sets of {coverage}, {kind}: coverage {mean[0]:.4f}, classes {mean[1:].min():.3f} to "
            f"{mean[1:].max():.3f}"
        )


# Scores that few images decide, or whose truth lies at the end of what is possible
AT_THE_EDGE = ("top5", "ece")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    args = parser.parse_args()
    for classes, groups, sharpness, skill, copies in (
        (10, 400, 1.0, 2.5, False),
        (10, 400, 2.5, 2.5, False),
        (10, 400, 2.5, 2.5, True),
        (40, 1600, 2.0, 3.5, True),
    ):
        world = World(classes, sharpness, skill)
        coverages = {}
        truth = {
            n: s.value
            for n, s in score_intervals(
                *world.draw(400_000, keyed_rng(1, "truth")), np.arange(400_000), replicates=2
            ).items()
        }
        for number in range(args.repetitions):
            rng = keyed_rng(0, "world", number)
            sizes = rng.choice([1, 1, 1, 2, 4], groups) if copies else np.ones(groups, np.int64)
            arrays = repeat(sizes, *world.draw(groups, rng), np.arange(groups))
            for name, score in score_intervals(*arrays, replicates=400).items():
                coverages.setdefault(name, []).append(
                    (score.low <= truth[name] <= score.high, score.high - score.low, score.value)
                )
        sizes_text = " of 1 to 4 near duplicates" if copies else ""
        title = f"{classes} classes, {groups} groups{sizes_text}, sharpness {sharpness}"
        print(f"{title}:")
        shares = {name: np.mean([row[0] for row in rows]) for name, rows in coverages.items()}
        edges = {name: shares.pop(name) for name in AT_THE_EDGE if name in shares}
        record("score-intervals", shares, args.repetitions, "samples", case=title)
        record("score-intervals-at-the-edge", edges, args.repetitions, "samples", case=title)
        for name, rows in coverages.items():
            share, width, value = np.mean(rows, axis=0)
            text = (
                f"truth {truth[name]:.4f} mean {value:.4f}  covered in {share:.3f} of {len(rows)}, "
                f"mean width {width:.4f}"
            )
            print(f"  {name:18} {text}")
    sets(args.repetitions)
    world = World(100, 1.5, 3.5)
    rng = keyed_rng(0, "time")
    sample = world.draw(10_000, rng)
    started = time.perf_counter()
    score_intervals(*sample, np.arange(10_000))
    seconds = time.perf_counter() - started
    record("intervals-time", seconds, 1, "samples")
    print(f"10,000 images, 100 classes, 1,000 replicates: {seconds:.1f} s")


if __name__ == "__main__":
    recording(main, __file__)
