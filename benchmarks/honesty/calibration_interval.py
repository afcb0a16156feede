"""Claim: the 95 % interval of the calibration error of few images holds truth and estimate.

    python benchmarks/honesty/calibration_interval.py [--repetitions 500]

Simulates a classifier of ten classes that is calibrated, and one that is overconfident. Its true
calibration error is that of 400,000 images in 100 bins; 0 if it is calibrated. ECE of few images is
mostly chance: the mean estimate shows by how much.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from bestiary.rng import keyed_rng
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.metrics import reliability

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording
from honesty.intervals import World

CLAIMS = {
    "calibration-error-of-few": {
        "statement": "The interval of the calibration error of few images holds the truth",
        "unit": "of the samples covered",
        "bar": ("least", 0.93, "95 %, with noise; of few images it may be wider"),
        "watches": ("@intervals",),
    },
}
COMMANDS = ("",)

SIZES = (27, 100, 300, 1000)
CALIBRATED = 1.0  # sharpness of confidences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    args = parser.parse_args()
    for sharpness in (CALIBRATED, 2.0):
        world = World(10, sharpness, 2.5)
        truth = 0.0 if sharpness == CALIBRATED else true_error(world)
        holds: dict[str, float] = {}
        details: dict[str, dict[str, float]] = {"mean estimate": {}, "estimates inside": {}}
        for n in SIZES:
            scores = [
                score_intervals(
                    *world.draw(n, keyed_rng(0, "few", number, n)), np.arange(n), replicates=400
                )["ece"]
                for number in range(args.repetitions)
            ]
            name = f"{n} images"
            holds[name] = np.mean([one.low <= truth <= one.high for one in scores])
            details["mean estimate"][name] = np.mean([one.value for one in scores])
            details["estimates inside"][name] = np.mean(
                [one.low <= one.value <= one.high for one in scores]
            )
        case = "calibrated" if sharpness == CALIBRATED else f"overconfident by {truth:.3f}"
        record(
            "calibration-error-of-few",
            holds,
            args.repetitions,
            "samples",
            case=case,
            details=details,
            data="simulated worlds",
        )
        print(f"{case}: holds {holds}, {details}", flush=True)


def true_error(world: World) -> float:
    probabilities, labels = world.draw(400_000, keyed_rng(1, "truth"))
    hits = probabilities.argmax(axis=1) == labels
    return reliability(probabilities.max(axis=1), hits, 100).ece


if __name__ == "__main__":
    recording(main, __file__)
