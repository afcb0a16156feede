"""Claim: the peak memory of `bestiary predict` does not grow with the number of images.

    python benchmarks/scale/predict_memory.py [--images 2000] [--pairs 1]

Trains two folds on drawn beasts for an epoch. Predicts folders that differ ten times in size (hard
links to the same images), each in a process of its own, to CSV and to Parquet. One prediction
before them builds the graph, since the first start takes more memory than any later one. Peak
resident memory is the operating system's (`VmHWM` of the process, on a Mac `ru_maxrss`).
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import bestiary
from bestiary.beasts.sample import draw_sample

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import peak_of
from harness.record import record, recording

CLAIMS = {
    "predict-memory": {
        "statement": "The peak memory of `predict` does not grow with the images",
        "unit": "of the peak with a tenth of the images",
        "bar": ("most", 1.05, "rows are stored as they come"),
        "watches": (
            "src/bestiary/ensemble/predictions.py",
            "src/bestiary/ensemble/pipeline.py",
            "src/bestiary/ensemble/resumable_table.py",
            "src/bestiary/stats/drift.py",
        ),
    },
}
COMMANDS = ("",)


def link(images: list[Path], folder: Path, count: int) -> None:
    """Make `count` hard links to `images`, a thousand in a folder."""
    for number in range(count):
        goal = folder / f"{number // 1000:04d}" / f"{number:08d}.jpg"
        goal.parent.mkdir(parents=True, exist_ok=True)
        os.link(images[number % len(images)], goal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        draw_sample(place / "beasts", species=5, per_species=20, size=96)
        overrides = ["view.size=96", "train.epochs=1", "folds.n=2"]
        bestiary.train(
            place / "beasts", place / "run", recipe="fast", overrides=overrides, quiet=True
        )
        images = sorted((place / "beasts").rglob("*.jpg"))
        counts = {"small": args.images, "large": 10 * args.images}
        for name, count in counts.items():
            link(images, place / name, count)
        # The first start of a run builds its graph, which takes more memory than any later one.
        link(images, place / "first", 40)
        peak_of(["predict", f"{place}/run", f"{place}/first", "--out", f"{place}/first.csv", "-q"])
        for kind in ("csv", "parquet"):
            ratios = []
            for pair in range(args.pairs):
                small, large = (
                    peak_of(
                        [
                            "predict",
                            f"{place}/run",
                            f"{place}/{name}",
                            "--out",
                            f"{place}/{name}-{pair}.{kind}",
                            "--quiet",
                        ]
                    )
                    for name in counts
                )
                ratios.append(large / small)
                print(
                    f"{kind}: {counts['small']:,} images {small:.0f} MB, {counts['large']:,} "
                    f"{large:.0f} MB"
                )
            spread = f"{min(ratios):.3f} to {max(ratios):.3f}, n = {len(ratios)}"
            details = {"MB, the last pair": {"small": small, "large": large}}
            data = ("drawn beasts", counts["large"])
            record(
                "predict-memory", ratios, args.pairs, "pairs", case=kind, details=details, data=data
            )
            print(f"{kind}: ratio, median {statistics.median(ratios):.3f}, {spread}")


if __name__ == "__main__":
    recording(main, __file__)
