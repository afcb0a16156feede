"""Claim: `best` makes fewer mistakes than the described recipe, with a quarter of its image passes
or less.

Every seed sets other images aside, which judge everything: no recipe sees or picks by them. On the
others, both start from the same backbone and weights and train at the same size: `paper` for 30
epochs, its first two whole cycles, one member of five folds; `best` five members, for as many
epochs as it has of itself. Mistakes of single members are compared (of five, the mean), and those
of five members together.

    python benchmarks/bench_best.py [DATA] [--size 96] [--seeds 0 1 2] [--share 0.2] [--epochs 30]
                                    [--set KEY=VALUE ...] [--place DIR]

Without DATA on drawn beasts (20 species of 50 images). With --place runs are kept there, and found
there again.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.display import Display
from bestiary.evaluation.held_out import Unseen, member_logits, unseen_images
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run
from bestiary.stats.averaging import average
from bestiary.stats.intervals import Z95
from paired import machine, spread
from workload import set_aside

Hits = NDArray[np.bool_]
QUIET = Display(quiet=True)
BACKBONE = "offline/efficientnet_lite0"
PAIRS = (("paper", "best"), ("best", "five members"))


def trained(place: Path, name: str, fold: list[int], recipe: str, options: list[str]) -> Run:
    """The run `name` of the table in `place`, made or gone on with unless it is finished."""
    there = (place / name / "recipe.toml").exists()
    asked: dict[str, Any] = {} if there else {"recipe": recipe, "overrides": options}
    return bestiary.train(
        place / "known.csv", place / name, only_fold=fold, resume=there, quiet=True, **asked
    )


def judged(run: Run, unseen: Unseen) -> tuple[Hits, Hits, NDArray[np.str_]]:
    """Hits of each member (members, images) and of the ensemble (images,), and the images'
    digests.
    """
    logits, readable = member_logits(bestiary.load(run), unseen.root, unseen.table, QUIET)
    table = unseen.table.filter(readable)
    labels = np.array([run.read_classes().index(label) for label in table["label"]])
    together = average(logits, run.read_recipe().predict.average)
    return (
        logits.argmax(axis=2) == labels,
        together.argmax(axis=1) == labels,
        table["sha256"].to_numpy(),
    )


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What to train on, with which seeds, and where: the options that every benchmark of `best`
    has.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    parser.add_argument("--place", type=Path)
    return parser


def dealt(asked: argparse.Namespace, scratch: Path) -> Iterator[tuple[int, Path, list[str]]]:
    """For each seed its folder, with the share that is set aside, and the options that all its
    runs have.
    """
    place = asked.place or scratch
    data = asked.data or place / "beasts"
    if asked.data is None and not data.exists():
        draw_sample(data, species=20, per_species=50)
    for seed in asked.seeds:
        folder = place / f"seed-{seed}"
        if not (folder / "known.csv").exists():
            set_aside(data, folder, asked.share, seed)
        same = [
            f"data.root={data.resolve()}",
            f"view.size={asked.size}",
            f"train.seed={seed}",
            f"folds.seed={seed}",
        ]
        yield seed, folder, same


def of_seed(seed: int, place: Path, same: list[str], asked: argparse.Namespace) -> dict[str, Any]:
    """Train all for one seed: name -> hits (members, images) or (1, images); and the images'
    digests.
    """
    described = [
        *same,
        f"model.backbone={BACKBONE}",
        "model.weights=default",
        f"train.epochs={asked.epochs}",
    ]
    runs = {
        "paper": trained(place, "paper", [0], "paper", described),
        "best": trained(place, "best", [], "best", [*same, *asked.overrides]),
    }
    # Both have the same images, so what is new to one is new to the other.
    unseen = unseen_images(runs["best"], runs["best"].classes, place / "new", QUIET)
    members, together, names = judged(runs["best"], unseen)
    hits = {
        "paper": judged(runs["paper"], unseen)[0],
        "best": members,
        "five members": together[None],
    }
    errors = ", ".join(f"{name} {1 - part.mean():.4f}" for name, part in hits.items())
    print(f"seed {seed}, {len(names)} images held out, share of mistakes: {errors}", flush=True)
    return {"hits": hits, "names": names}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    own = load_recipe("best", asked.overrides).train.epochs
    print(
        f"{machine()}\n{BACKBONE} at {asked.size} pixels, paper {asked.epochs} epochs, best {own}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        found = [of_seed(*of, asked) for of in dealt(asked, Path(scratch))]
    for first, second in PAIRS:
        report(first, second, found)


def report(first: str, second: str, found: list[dict[str, Any]]) -> None:
    """Ratio of the shares of mistakes, a figure a seed, and the difference over all seeds'
    images.
    """
    pairs = [(one["hits"][first], one["hits"][second]) for one in found]
    ratios = [float((1 - b.mean()) / (1 - a.mean())) for a, b in pairs]
    pooled = sum(1 - b.mean() for _, b in pairs) / sum(1 - a.mean() for a, _ in pairs)
    changes = np.concatenate([b.mean(axis=0) - a.mean(axis=0) for a, b in pairs])
    names = np.concatenate([one["names"] for one in found])
    print(
        f"{second} to {first}: mistakes {pooled:.3f} (seeds {spread(ratios)}), accuracy "
        f"{difference(changes, names)}"
    )


def difference(changes: NDArray[np.float64], names: NDArray[np.str_]) -> str:
    """Mean of changes of single images, 95 % interval and number; what several seeds drew
    (`names`) is dependent.
    """
    _, groups = np.unique(names, return_inverse=True)
    sums = np.bincount(groups, changes - changes.mean())
    half = Z95 * float(np.sqrt((sums**2).sum())) / len(changes)
    mean = float(changes.mean())
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}], {len(changes)} images"


if __name__ == "__main__":
    main()
