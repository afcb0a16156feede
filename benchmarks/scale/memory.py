"""Claim: the peak memory of training does not grow with the number of images or of folds.

Draws two datasets that differ ten times in size, trains one fold of recipe `fast` on each in a
process of its own, and reads the process's peak resident memory from the operating system (`VmHWM`,
on a Mac `ru_maxrss`). Then trains some small runs of `best` one after the other in this process, as
an ablation does, and prints its memory after each.

    python benchmarks/scale/memory.py [--images 2000] [--pairs 1] [--runs 7]
"""

import argparse
import gc
import statistics
import sys
import tempfile
from pathlib import Path

import psutil

import bestiary
from bestiary.beasts.sample import draw_sample

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import peak_of
from harness.record import record, recording

CLAIMS = {
    "train-memory": {
        "statement": "The peak memory of training does not grow with the images",
        "unit": "of the peak with a tenth of the images",
        "bar": ("most", 1.05, "images stay on the disk"),
        "watches": (
            "src/bestiary/training/malloc.py",
            "src/bestiary/training/loop.py",
            "src/bestiary/training/prepare.py",
            "src/bestiary/data/near_duplicates/comparison.py",
            "src/bestiary/data/store.py",
        ),
    },
    "runs-memory": {
        "statement": "Runs that are trained one after the other leave no memory taken",
        "unit": "MB after a run",
        "watches": (
            "src/bestiary/training/malloc.py",
            "src/bestiary/training/loop.py",
            "src/bestiary/data/store.py",
        ),
    },
}
COMMANDS = ("",)


SPECIES = 20


def peak_megabytes(data: Path, run: Path) -> float:
    """Peak resident memory of training one fold, in MB."""
    options = [
        "--only-fold",
        "0",
        "--folds",
        "2",
        "--quiet",
        "--set",
        "train.epochs=1",
        "view.size=64",
    ]
    return peak_of(["train", str(data), str(run), "--recipe", "fast", *options])


def memory_after_runs(data: Path, place: Path, runs: int) -> list[float]:
    """Resident memory of this process in MB after each of some runs of three folds."""
    megabytes_after = []
    for number in range(runs):
        options = ["view.size=64", "train.epochs=1", "folds.n=3"]
        bestiary.train(
            data, place / f"small-run-{number}", recipe="best", overrides=options, quiet=True
        )
        gc.collect()
        megabytes_after.append(psutil.Process().memory_info().rss / 1e6)
    return megabytes_after


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    ratios = []
    peaks: dict[str, list[float]] = {"small": [], "large": []}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name, count in (("small", args.images), ("large", 10 * args.images)):
            draw_sample(place / name, species=SPECIES, per_species=count // SPECIES, size=64)
        for pair in range(args.pairs):
            small = peak_megabytes(place / "small", place / f"run-small-{pair}")
            large = peak_megabytes(place / "large", place / f"run-large-{pair}")
            ratios.append(large / small)
            peaks["small"].append(small)
            peaks["large"].append(large)
            print(
                f"pair {pair}: {args.images:,} images {small:.0f} MB, ten times as many "
                f"{large:.0f} MB"
            )
        draw_sample(place / "few", species=4, per_species=60, size=64)
        megabytes_after = memory_after_runs(place / "few", place, args.runs)
    data = ("drawn beasts", 10 * args.images)
    record("train-memory", ratios, args.pairs, "pairs", details={"MB": peaks}, data=data)
    record("runs-memory", megabytes_after, 1, "processes", data=("drawn beasts", 240))
    print(
        f"after each of {args.runs} runs of three folds: "
        f"{', '.join(f'{megabytes:,.0f}' for megabytes in megabytes_after)} MB"
    )
    print(
        f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}, n "
        f"= {len(ratios)}"
    )


if __name__ == "__main__":
    recording(main, __file__)
