"""Claim: the peak memory of training does not grow with the number of pictures.

Draws two sets that differ ten times in size, trains one fold of recipe `fast` on each in a process of its own, and
reads each process's peak resident memory from the operating system (`VmHWM`, on a Mac `ru_maxrss`).

    python benchmarks/bench_memory.py [--pictures 2000] [--pairs 1]
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from bestiary.data.beasts import draw_sample
from paired import peak_of

SPECIES = 20


def peak_megabytes(data: Path, run: Path) -> float:
    """Peak resident memory of training one fold, in MB."""
    options = ["--fold", "0", "--folds", "2", "--quiet", "--set", "train.epochs=1", "view.size=64"]
    return peak_of(["train", str(data), str(run), "--recipe", "fast", *options])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=1)
    asked = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name, count in (("small", asked.pictures), ("large", 10 * asked.pictures)):
            draw_sample(place / name, species=SPECIES, per_species=count // SPECIES, size=64)
        for pair in range(asked.pairs):
            small = peak_megabytes(place / "small", place / f"run-small-{pair}")
            large = peak_megabytes(place / "large", place / f"run-large-{pair}")
            ratios.append(large / small)
            print(f"pair {pair}: {asked.pictures:,} pictures {small:.0f} MB, ten times as many {large:.0f} MB")
    print(f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}, n = {len(ratios)}")


if __name__ == "__main__":
    main()
