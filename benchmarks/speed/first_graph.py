"""How long the first start of a run takes on a machine: five members of `best`, no cached graph.

Trains five members for one epoch on a few drawn beasts, which is enough: a graph costs the same
whatever its weights are. Then loads the ensemble in a new process with an empty cache, and as often
with the cache that this left. Seconds are those of a core. --against runs the same with the sources
of another checkout, in turns.

    python benchmarks/speed/first_graph.py [--rounds 5] [--recipe best] [--against CHECKOUT/src]
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bestiary
from bestiary.beasts.sample import draw_sample

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, spread
from harness.record import record, recording

CLAIMS = {
    "first-graph": {
        "statement": "The first start of a run on a machine builds its graph in seconds",
        "unit": "s of a core",
        "watches": (
            "src/bestiary/model/engine.py",
            "src/bestiary/model/joint.py",
            "src/bestiary/model/classifier.py",
        ),
    },
}
COMMANDS = ("",)


LOADING = "import sys, bestiary; print(bestiary.load(sys.argv[1]).engine)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--against", type=Path, help="sources of another checkout")
    args = parser.parse_args()
    print(machine())
    sources = {"now": Path(bestiary.__file__).parents[1]}
    if args.against:
        sources["before"] = args.against
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        run = make_run(Path(scratch), args.recipe)
        for _ in range(args.rounds):
            for name, source in sources.items():
                cache = Path(scratch, "cache")
                for start in ("first", "second", "third"):  # the second leaves it compiled
                    taken = load(run, source, cache)
                    if start != "second":
                        seconds.setdefault(f"{start} start, {name}", []).append(taken)
                shutil.rmtree(cache)
    for name, values in seconds.items():
        print(f"{name}: {spread(values)} s of a core, n = {len(values)}")
    record("first-graph", seconds, args.rounds, "processes", case=args.recipe)


def make_run(place: Path, recipe: str) -> Path:
    """Train five members that have nothing, or as much as the recipe says, in common."""
    os.environ["BESTIARY_CACHE"] = str(place / "training")
    draw_sample(place / "data", species=3, per_species=6, size=160)
    run = place / "run"
    brief = ["train.epochs=1", "predict.tta=1", "folds.rare_classes=keep"]
    bestiary.train(place / "data", run, recipe=recipe, overrides=brief, folds=5, quiet=True)
    return run


def load(run: Path, source: Path, cache: Path) -> float:
    """Load the ensemble in a process of its own; return the seconds of a core that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", LOADING, str(run)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(source), "BESTIARY_CACHE": str(cache)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    recording(main, __file__)
