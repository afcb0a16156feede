"""Claim: a recipe trains five folds on two cores in minutes, and its score holds on new images.

Holds out a part of the labeled images of a folder, trains the recipe on the rest, and scores the
held-out part: is its accuracy inside the out-of-fold interval?

    python benchmarks/accuracy/fast.py DATA [--recipe fast] [--share 0.2] [--seed 0] [--folds 5]
                                    [--all]

With --all nothing is held out: the time and the out-of-fold score of the whole folder.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bestiary
from bestiary import caches

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording
from harness.workload import set_aside

CLAIMS = {
    "recipe-accuracy": {
        "statement": "What a recipe reaches, and in what time",
        "unit": "accuracy",
        "watches": (
            "src/bestiary/recipe/shipped/best.toml",
            "src/bestiary/recipe/shipped/fast.toml",
            "src/bestiary/recipe/shipped/probe.toml",
            "src/bestiary/training/lda_head.py",
            "src/bestiary/training/loop.py",
            "src/bestiary/data/eval_view.py",
        ),
    },
    "best-on-photographs": {
        "statement": "`best` reaches 0.96 on the photographs within 45 minutes",
        "unit": "accuracy",
        "bar": ("least", 0.96, "what was hoped for"),
        "watches": (
            "src/bestiary/recipe/shipped/best.toml",
            "src/bestiary/training/loop.py",
        ),
    },
    "recipe-new-images": {
        "statement": "A recipe's out-of-fold score holds on new images",
        "unit": "accuracy",
        "watches": (
            "src/bestiary/recipe/shipped/best.toml",
            "src/bestiary/recipe/shipped/fast.toml",
            "src/bestiary/recipe/shipped/probe.toml",
            "src/bestiary/evaluation/unseen.py",
        ),
    },
}
COMMANDS = (
    "{data} --all",
    "{data} --recipe probe --all",
    "{data} --recipe best --all",
    "{data} --share 0.2 --folds 3",
)


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
    overrides = [f"data.root={args.data.resolve()}"]
    overrides += [f"train.seed={args.seed}", f"folds.seed={args.seed}"]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ[caches.VARIABLE] = str(place / "cache")
        set_aside(args.data, place, 0.0 if args.all else args.share, args.seed)
        run, seconds = timed(place, "run", overrides, args)
        print(f"{machine()}\n{args.recipe} on {args.data.name}, seed {args.seed}: {seconds:.0f} s")
        print(run.score_line)
        told = run.read_json("metrics.json")["oof"]["accuracy"]
        score = (told["value"], told["low"], told["high"])
        case = f"{args.recipe}, seed {args.seed}"
        details: dict[str, Any] = {"minutes": seconds / 60}
        if args.all and not run.read_recipe().train.epochs:
            _, again = timed(place, "again", overrides, args)
            print(f"again, with the features of the first time: {again:.0f} s")
            details = {"s": {"empty cache": round(seconds), "cached": round(again)}}
        shared = {"case": case, "spread": "95 % interval", "data": args.data}
        if args.all:
            record("recipe-accuracy", score, 1, "runs", details=details, **shared)
            if args.recipe == "best":
                record("best-on-photographs", score, 1, "runs", details=details, **shared)
            return
        evaluation = bestiary.evaluate(run.path, place / "new", quiet=True)
        print(evaluation)
        members = evaluation.scores["mean_member"]
        details["accuracy, out of fold"] = score
        record("recipe-new-images", members, 1, "runs", details=details, **shared)


def timed(
    place: Path, name: str, overrides: list[str], args: argparse.Namespace
) -> tuple[bestiary.Run, float]:
    """Train, from reading the images to the scores; the run and its seconds."""
    started = time.perf_counter()
    run = bestiary.train(
        place / "known.csv",
        place / name,
        recipe=args.recipe,
        overrides=overrides,
        folds=args.folds,
    )
    return run, time.perf_counter() - started


if __name__ == "__main__":
    recording(main, __file__)
