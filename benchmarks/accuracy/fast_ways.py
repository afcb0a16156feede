"""Does fine-tuning the last stages pay, at some rate and with some stages frozen?

    python benchmarks/accuracy/fast_ways.py [DATA] [--size 96] [--seeds 0,1,2] [--only-fold 0]
        [--way search] [--set KEY=VALUE ...]

Each way trains one fold of two, by each seed, and is judged by the other half of the images, beside
the heads that all of them begin with. The images of all rounds count together, each image once for
its interval. Without DATA, on drawn beasts of 60 species in close genera. What a round has given is
kept where the time ends.

The ways of SEARCH were compared at 96 pixels. Those of FINAL and of SHORT are compared at 224, the
size of `fast`. One of them was to become `fast`, had its interval been above zero on two of three
sets and at zero or more on the third. None was, so `fast` has no fine-tuning.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bestiary.advising.trials import with_share
from bestiary.beasts.sample import draw_sample
from bestiary.run.run import Run
from bestiary.training.dataset import read_training_set

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.best_against_probe import Hits, hits_of
from accuracy.tiny_data import interval
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "fast-ways": {
        "statement": "What fine-tuning the last stages adds to the heads",
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
HEADS = "heads alone"
HEADS_ONLY = ("train.epochs=0",)
HALF = 0.5
TODAY = "2e-6, 2 epochs, 6 stages frozen, no way back"
Changes = tuple[str, ...]


def changes(rate: str, epochs: int, frozen: int) -> Changes:
    """The options of a training."""
    return f"optimizer.lr={rate}", f"train.epochs={epochs}", f"model.freeze={frozen}"


# name -> the training, and the share of the initial weights in the member (WiSE-FT)
SEARCH = {
    TODAY: (changes("2e-6", 2, 6), 0.0),
    "5e-4, 3 epochs, 4 frozen": (changes("5e-4", 3, 4), HALF),
    "1e-3, 3 epochs, 4 frozen": (changes("1e-3", 3, 4), HALF),
    "5e-4, 2 epochs, 4 frozen": (changes("5e-4", 2, 4), HALF),
    "1e-3, 2 epochs, 4 frozen": (changes("1e-3", 2, 4), HALF),
    "5e-4, 3 epochs, 6 frozen": (changes("5e-4", 3, 6), HALF),
}
# The training of `best`, as far as three epochs of the last stages can be that.
LIKE_BEST = ("view.augment=trivialaugment", "mix.probability=0.5", "mix.stop_at=0.8")
FINAL = {
    TODAY: SEARCH[TODAY],
    "5e-4, 3 epochs, 4 frozen": SEARCH["5e-4, 3 epochs, 4 frozen"],
    "5e-4, 3 epochs, 4 frozen, 0.7 of the start": (changes("5e-4", 3, 4), 0.7),
    "1e-4, 3 epochs, 4 frozen": (changes("1e-4", 3, 4), HALF),
    "1e-4, 3 epochs, 4 frozen, augmented and mixed": (changes("1e-4", 3, 4) + LIKE_BEST, HALF),
}
# `best` itself, in fewer epochs, with and without the first stages, which see the most pixels.
AS_BEST = (*LIKE_BEST, "optimizer.layer_decay=0.8", "schedule.warmup=0.05")
SHORT = {
    "as best, 3 epochs": (changes("5e-4", 3, 0) + AS_BEST, HALF),
    "as best, 3 epochs, 2 frozen": (changes("5e-4", 3, 2) + AS_BEST, HALF),
}
GROUPS = {"search": SEARCH, "final": FINAL, "short": SHORT}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only-fold", dest="of_two", type=int, nargs="+", default=[0])
    parser.add_argument("--way", default="search", choices=GROUPS)
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--place", type=Path, help="keeps the runs, and continues them")
    parser.add_argument("--set", dest="also", nargs="*", default=[])
    args = parser.parse_args()
    args.folds = 2
    ways = {HEADS: (HEADS_ONLY, 0.0), **GROUPS[args.way]}
    ways = {way: of for way, of in ways.items() if way not in args.without}
    rounds = [(seed, fold) for seed in map(int, args.seeds.split(",")) for fold in args.of_two]
    print(machine())
    name = args.data.name if args.data else "drawn beasts of 60 species"
    with tempfile.TemporaryDirectory() as scratch:
        data, place = args.data, args.place or Path(scratch)
        if data is None:
            data = place / "beasts"
        if args.data is None and not data.exists():
            draw_sample(data, species=60, per_species=24, size=160, seed=5)
        found: dict[str, list[Hits]] = {way: [] for way in ways}
        judged: list[str] = []
        for number, (seed, fold) in enumerate(rounds, 1):
            args.seed, args.only_fold = seed, [fold]
            hits, paths = round_hits(data, place / f"{name}-{seed}-{fold}", ways, args)
            for way, of in hits.items():
                found[way].append(of)
                print(f"seed {seed}, fold {fold}, {way}: {of.mean():.4f}", flush=True)
            judged += paths
            record_ways(found, judged, number, name, args)


def round_hits(
    data: Path, place: Path, ways: Mapping[str, tuple[Changes, float]], args: argparse.Namespace
) -> tuple[dict[str, Hits], list[str]]:
    """Train each way once, whatever its shares; whether each held-out image is right, and paths."""
    fold = args.only_fold[0]
    heads = Run(place / f"trained-{'-'.join(HEADS_ONLY)}")
    hits = {}
    for way, (changed, share) in ways.items():
        run = Run(place / f"trained-{'-'.join(changed)}")
        args.overrides = [*changed, "train.wise_ft=0", *args.also]
        hits_of(data, run.path, "fast", args)
        logits, labels = with_share(Run.open(run.path), Run.open(heads.path), fold, share)
        hits[way] = logits.argmax(axis=1) == labels
    # Images with a label conflict are trained on and never judged.
    judged = read_training_set(heads)
    return hits, judged.paths[judged.scorable(judged.rows(fold)[1])].to_list()


def record_ways(
    found: dict[str, list[Hits]],
    judged: list[str],
    rounds: int,
    name: str,
    args: argparse.Namespace,
) -> None:
    hits = {way: np.concatenate(of) for way, of in found.items()}
    _, images = np.unique(judged, return_inverse=True)
    gains = {}
    for way, of in hits.items():
        gain = of.astype(float) - hits[HEADS]
        if way != HEADS:
            gains[way] = (gain.mean(), *interval(gain, images))
    differ = {way: float((of != hits[HEADS]).mean()) for way, of in hits.items() if way != HEADS}
    record(
        "fast-ways",
        gains,
        rounds,
        "rounds",
        case=f"{name}, {args.size} px" + (", whole network" if args.way == "short" else ""),
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
