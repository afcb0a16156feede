"""Four times the batch of `best`: which learning rate keeps its accuracy?

    python benchmarks/accuracy/batch_scaling.py [DATA] [--size 96] [--seeds 0 1] [--set OPTION ...]

A larger batch takes fewer steps, and a GPU computes its images faster. The rate grows with it: not
at all, with the square root (Hoffer et al. 2017, arXiv:1705.08741; for Adam, Malladi et al. 2022,
arXiv:2205.10287), or in proportion (Goyal et al. 2017, arXiv:1706.02677). One half of the images
trains and the other judges, with the same folds for all. Without DATA, on drawn beasts of 60
species in close genera.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from bestiary.beasts.sample import draw_sample
from bestiary.recipe.load import load_recipe
from bestiary.stats.paired import paired_difference

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.best_against_probe import hits_of
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "batch-and-rate": {
        "statement": "What four times the batch changes, by the learning rate",
        "unit": "difference of accuracy to `best`",
        "watches": ("@best",),
    },
}
COMMANDS = ("--size 96", "{data} --size 96")
TIMES = 4
POWERS = {"the same rate": 0.0, "its square root": 0.5, "in proportion": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--set", dest="also", nargs="*", default=[])
    args = parser.parse_args()
    args.folds, args.only_fold = 2, [0]
    print(machine())
    best = load_recipe("best", [])
    batch, rate = best.train.batch_size, best.optimizer.lr
    ways = {"best": [], **{way: _scaled(batch, rate, power) for way, power in POWERS.items()}}
    found: dict[str, list[bool]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as scratch:
        data, place = args.data, Path(scratch)
        if data is None:
            data = place / "beasts"
            draw_sample(data, species=60, per_species=24, size=160, seed=5)
        for seed in args.seeds:
            args.seed = seed
            for number, (way, options) in enumerate(ways.items()):
                args.overrides = [*options, *args.also]
                hits = hits_of(data, place / f"way-{number}-seed-{seed}", "best", args)
                found[way] += [hits[path] for path in sorted(hits)]
                print(f"seed {seed}, {way}: {np.mean(list(hits.values())):.4f}", flush=True)
    arrays = {way: np.array(hits) for way, hits in found.items()}
    plain = arrays.pop("best")
    groups = np.arange(len(plain))
    changes = {way: paired_difference(plain, hits, groups) for way, hits in arrays.items()}
    name = args.data.name if args.data else "drawn beasts of 60 species"
    record(
        "batch-and-rate",
        {way: (of.value, of.low, of.high) for way, of in changes.items()},
        len(plain),
        "images",
        case=f"{name}, {args.size} px, batches of {TIMES * batch} for {batch}",
        spread="95 % interval",
        details={
            "accuracy": {"best": plain.mean(), **{way: of.mean() for way, of in arrays.items()}},
            "images won": {way: of.wins for way, of in changes.items()},
            "images lost": {way: of.losses for way, of in changes.items()},
        },
        data=args.data or name,
        note=f"Half of the images judge, with {len(args.seeds)} seeds of halves and training.",
    )


def _scaled(batch: int, rate: float, power: float) -> list[str]:
    """The options of a larger batch whose rate grows with a power of it."""
    return [f"train.batch_size={TIMES * batch}", f"optimizer.lr={rate * TIMES**power}"]


if __name__ == "__main__":
    recording(main, __file__)
