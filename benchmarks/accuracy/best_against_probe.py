"""Claim: fine-tuning by `best` makes at most 0.8 of the mistakes of `probe`'s heads alone.

    python benchmarks/accuracy/best_against_probe.py [DATA] [--size 224] [--folds 2]
        [--only-fold 0 1] [--seed 0] [--place DIR] [--set KEY=VALUE ...]

Both are trained on the same folds: with two, each on half of the images, and judged by the other
half, so that every image counts once. Mistakes are paired by image; the interval of their ratio is
a bootstrap of 4,000 samples. Without DATA, on drawn beasts of 60 species in close genera, which are
less like the images of ImageNet than photographs are. --place keeps the runs and continues them.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.run.oof import read_oof
from bestiary.stats.paired import paired_difference

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "best-against-probe": {
        "statement": "Fine-tuning makes fewer mistakes than heads alone",
        "unit": "of the mistakes of probe",
        "bar": ("most", 0.8, "a fifth fewer mistakes pay for half an hour"),
        "watches": (
            "src/bestiary/recipe/shipped/best.toml",
            "src/bestiary/recipe/shipped/probe.toml",
            "src/bestiary/training/loop.py",
            "src/bestiary/training/lda_head.py",
        ),
    },
}
COMMANDS = ("--size 96", "{data}")
SAMPLES = 4_000

Hits = NDArray[np.bool_]


def hits_of(data: Path, run: Path, recipe: str, args: argparse.Namespace) -> dict[str, bool]:
    """Train a recipe, or go on with it; whether each held-out image is right, by its path."""
    options = [f"view.size={args.size}", "train.threads=1", f"folds.n={args.folds}"]
    options += [f"train.seed={args.seed}", f"folds.seed={args.seed}", *args.overrides]
    exists = (run / "recipe.toml").exists()
    new: dict[str, Any] = {} if exists else {"recipe": recipe, "overrides": options}
    trained = bestiary.train(data, run, only_fold=args.only_fold, resume=exists, quiet=True, **new)
    found = {}
    for fold in args.only_fold:
        table, classes = read_oof(trained.fold(fold))
        right = (
            np.array(classes)[table["logits"].to_numpy().argmax(axis=1)]
            == table["label"].to_numpy()
        )
        found |= dict(zip(table["path"].to_list(), right.tolist(), strict=True))
    return found


def ratio(wrong: Hits, against: Hits) -> tuple[float, float, float]:
    """The ratio of two numbers of mistakes on the same images, and its 95 % interval."""
    rows = np.random.default_rng(0).integers(0, len(wrong), (SAMPLES, len(wrong)))
    drawn = wrong[rows].sum(axis=1) / np.maximum(1, against[rows].sum(axis=1))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(wrong.sum() / max(1, against.sum())), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--only-fold", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=Path)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = args.place or Path(scratch)
        data = args.data or place / "beasts"
        if args.data is None and not data.exists():
            draw_sample(data, species=60, per_species=24, size=160, seed=5)
        runs = {name: hits_of(data, place / name, name, args) for name in ("probe", "best")}
    paths = sorted(runs["probe"])
    probe, best = (np.array([run[path] for path in paths]) for run in runs.values())
    found = ratio(~best, ~probe)
    difference = paired_difference(probe, best, np.arange(len(paths)))
    name = args.data.name if args.data else "drawn beasts of 60 species"
    print(
        f"{name}: probe {(~probe).sum()} mistakes, best {(~best).sum()} of {len(paths)}: ratio "
        f"{found[0]:.3f} [{found[1]:.2f}, {found[2]:.2f}]; accuracy {difference}"
    )
    record(
        "best-against-probe",
        found,
        len(paths),
        "images",
        case=f"{name}, {args.size} px",
        spread="95 % interval over images",
        details={
            "mistakes": {"probe": int((~probe).sum()), "best": int((~best).sum())},
            "difference of accuracy": difference,
        },
        data=args.data or (name, len(paths)),
    )


if __name__ == "__main__":
    recording(main, __file__)
