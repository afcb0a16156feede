"""Claim: training takes about what `advise` says that it will.

Asks `advise` about one backbone and size on the images of a folder, trains what it recommends, and
compares the expected time with the time that the command took; prints the out-of-fold score too.

    python benchmarks/bench_advise.py DATA [--recipe best] [--backbone NAME@SIZE] [--set KEY=VALUE ...]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import bestiary
from bestiary.recipe.load import load_recipe
from paired import machine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--backbone")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    asked = parser.parse_args()
    own = load_recipe(asked.recipe, asked.overrides)
    backbone = asked.backbone or f"{own.model.backbone}@{own.view.size}"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        given = {"recipe": asked.recipe, "overrides": asked.overrides, "quiet": True}
        advice = bestiary.advise(asked.data, backbones=[backbone], **given)
        print(f"{machine()}\n{advice}")
        assert advice.chosen is not None, "nothing bounds it"
        chosen = advice.chosen.recipe
        expected = advice.chosen.seconds(advice.images, chosen.train.epochs)
        options = [f"model.backbone={chosen.model.backbone}", f"view.size={chosen.view.size}"]
        options += [
            f"view.eval_size={chosen.view.eval_size}",
            f"model.freeze={chosen.model.freeze}",
        ]
        os.environ["BESTIARY_CACHE"] = str(
            place / "another"
        )  # as on a machine where nothing was computed before
        given["overrides"] = [*asked.overrides, *options, f"train.epochs={chosen.train.epochs}"]
        started = time.perf_counter()
        run = bestiary.train(asked.data, place / "run", **given)
        taken = time.perf_counter() - started
        print(
            f"expected {expected / 60:.1f} minutes, taken {taken / 60:.1f}: ratio "
            f"{taken / expected:.2f} (n = 1)"
        )
        print(run.score_line)


if __name__ == "__main__":
    main()
