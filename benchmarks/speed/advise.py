"""Claim: training takes about as long as `advise` says.

Asks `advise` about one backbone and size on the images of a folder and trains what it recommends.
Compares the expected time with the measured one, and prints the out-of-fold score.

    python benchmarks/speed/advise.py DATA [--recipe best] [--backbone NAME@SIZE]
                                      [--set KEY=VALUE ...]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import bestiary
from bestiary.recipe.load import load_recipe

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "advise-time": {
        "statement": "Training takes about as long as `advise` says",
        "unit": "of the expected time",
        "watches": ("src/bestiary/advising/*.py",),
    },
}
COMMANDS = ("{data}",)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--backbone")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    default_recipe = load_recipe(args.recipe, args.overrides)
    backbone = args.backbone or f"{default_recipe.model.backbone}@{default_recipe.view.size}"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        shared_options = {"recipe": args.recipe, "overrides": args.overrides, "quiet": True}
        advice = bestiary.advise(args.data, backbones=[backbone], **shared_options)
        print(f"{machine()}\n{advice}")
        assert advice.chosen is not None, "advise has chosen nothing"
        chosen = advice.chosen.recipe
        expected = advice.chosen.training_seconds(advice.images, chosen.train.epochs)
        options = [f"model.backbone={chosen.model.backbone}", f"view.size={chosen.view.size}"]
        options += [
            f"view.eval_size={chosen.view.eval_size}",
            f"model.freeze={chosen.model.freeze}",
        ]
        # A new cache, as on a machine where nothing was computed before.
        os.environ["BESTIARY_CACHE"] = str(place / "another")
        shared_options["overrides"] = [
            *args.overrides,
            *options,
            f"train.epochs={chosen.train.epochs}",
        ]
        started = time.perf_counter()
        run = bestiary.train(args.data, place / "run", **shared_options)
        elapsed = time.perf_counter() - started
        ratio = elapsed / expected
        print(
            f"expected {expected / 60:.1f} minutes, measured {elapsed / 60:.1f}: ratio {ratio:.2f} "
            f"(n = 1)"
        )
        print(run.score_line)
        details = {"minutes": {"expected": expected / 60, "measured": elapsed / 60}}
        record("advise-time", ratio, 1, "trainings", case=backbone, details=details, data=args.data)


if __name__ == "__main__":
    recording(main, __file__)
