"""Claim: a recipe trains five folds on two cores in minutes, and its score holds on new images.

Holds out a part of the labeled images of a folder, trains the recipe on the rest, and scores the
held-out part: is its accuracy inside the out-of-fold interval?

    python benchmarks/accuracy/fast.py DATA [--recipe fast] [--share 0.2] [--seed 0] [--folds 5]
                                    [--all]

With --all nothing is held out: the time and the out-of-fold score of the whole folder.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import bestiary

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.workload import set_aside


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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        set_aside(args.data, place, 0.0 if args.all else args.share, args.seed)
        root = f"data.root={args.data.resolve()}"
        started = time.perf_counter()
        run = bestiary.train(
            place / "known.csv",
            place / "run",
            recipe=args.recipe,
            overrides=[root],
            folds=args.folds,
        )
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{machine()}\n{args.recipe} on {args.data.name}, seed {args.seed}: {minutes:.1f} "
            f"minutes"
        )
        print(run.score_line)
        if not args.all:
            print(bestiary.evaluate(run.path, place / "new", quiet=True))


if __name__ == "__main__":
    main()
