"""Claim: a recipe trains five folds on two cores in minutes, and its score tells what new images
get.

Sets a part of the labeled images of a folder aside, trains the recipe on the rest, and scores the
part set aside, which no fold has seen: is its accuracy inside the out-of-fold interval?

    python benchmarks/bench_fast.py DATA [--recipe fast] [--share 0.2] [--seed 0] [--folds 5] [--all]

With --all nothing is set aside: the time and the out-of-fold score of the whole folder.
"""

import argparse
import tempfile
import time
from pathlib import Path

import bestiary
from paired import machine
from workload import set_aside


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        set_aside(asked.data, place, 0.0 if asked.all else asked.share, asked.seed)
        root = f"data.root={asked.data.resolve()}"
        started = time.perf_counter()
        run = bestiary.train(
            place / "known.csv",
            place / "run",
            recipe=asked.recipe,
            overrides=[root],
            folds=asked.folds,
        )
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{machine()}\n{asked.recipe} on {asked.data.name}, seed {asked.seed}: {minutes:.1f} "
            f"minutes"
        )
        print(run.score_line)
        if not asked.all:
            print(bestiary.evaluate(run.path, place / "new", quiet=True))


if __name__ == "__main__":
    main()
