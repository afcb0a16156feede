"""Which rate, and how many frozen stages, make the fine-tuning of `fast` worth its time?

    python benchmarks/accuracy/fast_ways.py [DATA] [--size 96] [--seeds 0,1,2] [--only-fold 0]
        [--way search] [--set KEY=VALUE ...]

Each way trains one fold of two, by each seed, and is judged by the other half of the images, beside
the heads that all of them begin with. The images of all rounds count together, each image once for
its interval. Without DATA, on drawn beasts of 60 species in close genera. What a round has given is
kept where the time ends.

The ways of SEARCH were compared at 96 pixels. Those of FINAL are compared at 224, the size of
`fast`, on three sets. A way of FINAL becomes `fast` if its interval is above zero on two of the
sets and reaches zero or more on the third.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.beasts.sample import draw_sample

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.best_against_probe import hits_of
from accuracy.tiny_data import interval
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "fast-ways": {
        "statement": "What the fine-tuning of `fast` adds to its heads",
        "unit": "difference of accuracy to heads alone",
        "watches": (
            "src/bestiary/recipe/shipped/fast.toml",
            "src/bestiary/training/loop.py",
        ),
    },
}
COMMANDS = (
    "--size 96",
    "{data} --size 96",
    "--size 224 --seeds 0 --only-fold 0 1 --way final",
    "{data} --size 224 --seeds 0 --only-fold 0 1 --way final",
)
HALF = "train.wise_ft=0.5"
HEADS = "heads alone"
TODAY = "2e-6, 2 epochs, 6 stages frozen, no way back"
SEARCH = {
    TODAY: [
        "optimizer.lr=2e-6",
        "train.epochs=2",
        "model.freeze=6",
        "train.wise_ft=0",
    ],
    "5e-4, 3 epochs, 4 frozen": [
        "optimizer.lr=5e-4",
        "train.epochs=3",
        "model.freeze=4",
        HALF,
    ],
    "1e-3, 3 epochs, 4 frozen": [
        "optimizer.lr=1e-3",
        "train.epochs=3",
        "model.freeze=4",
        HALF,
    ],
    "5e-4, 2 epochs, 4 frozen": [
        "optimizer.lr=5e-4",
        "train.epochs=2",
        "model.freeze=4",
        HALF,
    ],
    "1e-3, 2 epochs, 4 frozen": [
        "optimizer.lr=1e-3",
        "train.epochs=2",
        "model.freeze=4",
        HALF,
    ],
    "5e-4, 3 epochs, 6 frozen": [
        "optimizer.lr=5e-4",
        "train.epochs=3",
        "model.freeze=6",
        HALF,
    ],
}
FINAL = {
    TODAY: SEARCH[TODAY],
    "5e-4, 3 epochs, 4 frozen": SEARCH["5e-4, 3 epochs, 4 frozen"],
    "5e-4, 3 epochs, 4 frozen, 0.7 of the start": [
        "optimizer.lr=5e-4",
        "train.epochs=3",
        "model.freeze=4",
        "train.wise_ft=0.7",
    ],
    "2e-4, 3 epochs, 4 frozen": [
        "optimizer.lr=2e-4",
        "train.epochs=3",
        "model.freeze=4",
        HALF,
    ],
}
GROUPS = {"search": SEARCH, "final": FINAL}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only-fold", dest="of_two", type=int, nargs="+", default=[0])
    parser.add_argument("--way", default="search", choices=GROUPS)
    parser.add_argument("--set", dest="also", nargs="*", default=[])
    args = parser.parse_args()
    args.folds = 2
    ways = {HEADS: ["train.epochs=0", "train.wise_ft=0"], **GROUPS[args.way]}
    rounds = [(seed, fold) for seed in map(int, args.seeds.split(",")) for fold in args.of_two]
    print(machine())
    name = args.data.name if args.data else "drawn beasts of 60 species"
    with tempfile.TemporaryDirectory() as scratch:
        data, place = args.data, Path(scratch)
        if data is None:
            data = place / "beasts"
            draw_sample(data, species=60, per_species=24, size=160, seed=5)
        found: dict[str, list[NDArray[np.bool_]]] = {way: [] for way in ways}
        judged: list[str] = []
        for number, (seed, fold) in enumerate(rounds, 1):
            args.seed, args.only_fold = seed, [fold]
            for index, (way, changes) in enumerate(ways.items()):
                args.overrides = [*changes, *args.also]
                hits = hits_of(data, place / f"{index}-{seed}-{fold}", "fast", args)
                found[way].append(np.array([hits[path] for path in sorted(hits)]))
                print(f"seed {seed}, fold {fold}, {way}: {found[way][-1].mean():.4f}", flush=True)
            judged += sorted(hits)
            record_ways(found, judged, number, name, args)


def record_ways(
    found: dict[str, list[NDArray[np.bool_]]],
    judged: list[str],
    rounds: int,
    name: str,
    args: argparse.Namespace,
) -> None:
    hits = {way: np.concatenate(of) for way, of in found.items()}
    _, images = np.unique(judged, return_inverse=True)
    changes = {}
    for way, of in hits.items():
        change = of.astype(float) - hits[HEADS]
        if way != HEADS:
            changes[way] = (change.mean(), *interval(change, images))
    differ = {way: float((of != hits[HEADS]).mean()) for way, of in hits.items() if way != HEADS}
    record(
        "fast-ways",
        changes,
        rounds,
        "rounds",
        case=f"{name}, {args.size} px",
        spread="95 % interval over images",
        details={
            "accuracy": {way: of.mean() for way, of in hits.items()},
            "of the images right in one of the two alone": differ,
        },
        data=args.data or (name, len(set(judged))),
        note=f"Each round trains on one half of the images; {len(set(judged))} are judged.",
    )


if __name__ == "__main__":
    recording(main, __file__)
