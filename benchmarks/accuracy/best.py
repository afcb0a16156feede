"""Claim: `best` makes fewer mistakes than the described recipe with a quarter of its image passes.

For each seed, a share of the images is held out as test data that no recipe trains on or selects
by. On the rest, both recipes start from the same backbone and weights and train at the same size:
`paper` for 30 epochs, its first two whole cycles, one member of five folds; `best` five members for
its own number of epochs. Compared are the mistakes of single members (the mean over five) and of
the ensemble of five.

    python benchmarks/accuracy/best.py [DATA] [--size 96] [--seeds 0 1 2] [--share 0.2]
        [--epochs 30]
                                    [--set KEY=VALUE ...] [--place DIR]

Without DATA, on drawn beasts (20 species of 50 images). --place keeps the runs and continues them.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.display import Display
from bestiary.evaluation.unseen import Unseen, member_logits, unseen_images
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run
from bestiary.stats.averaging import average
from bestiary.stats.intervals import Z95

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, spread
from harness.record import record, recording
from harness.workload import set_aside

CLAIMS = {
    "best-against-paper": {
        "statement": (
            "`best` makes fewer mistakes than the described recipe, with a quarter of its image "
            "passes"
        ),
        "unit": "of the mistakes of paper",
        "bar": ("most", 0.85, "with a quarter of the image passes"),
        "watches": (
            "@best",
            "src/bestiary/recipe/shipped/paper.toml",
        ),
    },
    "five-members-against-one": {
        "statement": "Five members make fewer mistakes than one",
        "unit": "of the mistakes of one member",
        "bar": ("most", 0.9, "five networks cost five times as much to train"),
        "watches": (
            "@best",
            "src/bestiary/stats/averaging.py",
        ),
    },
}
COMMANDS = (
    "",
    "{data} --size 128",
)


Hits = NDArray[np.bool_]
QUIET = Display(quiet=True)
BACKBONE = "offline/efficientnet_lite0"
PAIRS = (("paper", "best"), ("best", "five members"))


def train_or_resume(
    place: Path, name: str, fold: list[int], recipe: str, options: list[str]
) -> Run:
    """Train the run `name` on the table in `place`, or resume it."""
    exists = (place / name / "recipe.toml").exists()
    args: dict[str, Any] = {} if exists else {"recipe": recipe, "overrides": options}
    return bestiary.train(
        place / "known.csv", place / name, only_fold=fold, resume=exists, quiet=True, **args
    )


def evaluated_on(run: Run, unseen: Unseen) -> tuple[Hits, Hits, NDArray[np.str_]]:
    """Hits of each member (members, images) and of the ensemble (images,), and image digests."""
    logits, reasons = member_logits(bestiary.load(run), unseen.root, unseen.table, QUIET)
    is_unreadable = np.isin(np.arange(unseen.table.height), list(reasons))
    table = unseen.table.filter(~is_unreadable)
    labels = np.array([run.read_classes().index(label) for label in table["label"]])
    together = average(logits, run.read_recipe().predict.average)
    return (
        logits.argmax(axis=2) == labels,
        together.argmax(axis=1) == labels,
        table["sha256"].to_numpy(),
    )


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Build the options that the benchmarks of `best` share: data, seeds, size and folder."""
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


def seed_folders(args: argparse.Namespace, scratch: Path) -> Iterator[tuple[int, Path, list[str]]]:
    """For each seed: its folder, with the held-out share, and the options of all its runs."""
    place = args.place or scratch
    data = args.data or place / "beasts"
    if args.data is None and not data.exists():
        draw_sample(data, species=20, per_species=50)
    for seed in args.seeds:
        folder = place / f"seed-{seed}"
        if not (folder / "known.csv").exists():
            set_aside(data, folder, args.share, seed)
        shared_options = [
            f"data.root={data.resolve()}",
            f"view.size={args.size}",
            f"train.seed={seed}",
            f"folds.seed={seed}",
        ]
        yield seed, folder, shared_options


def run_seed(
    seed: int, place: Path, shared_options: list[str], args: argparse.Namespace
) -> dict[str, Any]:
    """Train both recipes for one seed.

    Returns:
        hits: name -> (members, images) or (1, images); names: digests of the images.
    """
    described = [
        *shared_options,
        f"model.backbone={BACKBONE}",
        "model.weights=default",
        f"train.epochs={args.epochs}",
    ]
    runs = {
        "paper": train_or_resume(place, "paper", [0], "paper", described),
        "best": train_or_resume(place, "best", [], "best", [*shared_options, *args.overrides]),
    }
    # Both have the same images, so what is new to one is new to the other.
    unseen = unseen_images(runs["best"], runs["best"].read_classes(), place / "new", QUIET)
    members, together, names = evaluated_on(runs["best"], unseen)
    hits = {
        "paper": evaluated_on(runs["paper"], unseen)[0],
        "best": members,
        "five members": together[None],
    }
    errors = ", ".join(f"{name} {1 - part.mean():.4f}" for name, part in hits.items())
    print(f"seed {seed}, {len(names)} images held out, share of mistakes: {errors}", flush=True)
    return {"hits": hits, "names": names}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    own = load_recipe("best", args.overrides).train.epochs
    print(f"{machine()}\n{BACKBONE} at {args.size} pixels, paper {args.epochs} epochs, best {own}")
    with tempfile.TemporaryDirectory() as scratch:
        results = [run_seed(*of, args) for of in seed_folders(args, Path(scratch))]
    data = args.data or ("drawn beasts", 1000)
    case = f"{args.data.name if args.data else 'drawn beasts'}, {args.size} px"
    for (first, second), claim in zip(PAIRS, CLAIMS, strict=True):
        report(first, second, results, claim, case, data)


def report(
    first: str,
    second: str,
    results: list[dict[str, Any]],
    claim: str,
    case: str,
    data: Path | tuple[str, int],
) -> None:
    """Print the ratio of mistakes for each seed, and the difference over all seeds' images."""
    pairs = [(one["hits"][first], one["hits"][second]) for one in results]
    ratios = [float((1 - b.mean()) / (1 - a.mean())) for a, b in pairs]
    pooled = sum(1 - b.mean() for _, b in pairs) / sum(1 - a.mean() for a, _ in pairs)
    changes = np.concatenate([b.mean(axis=0) - a.mean(axis=0) for a, b in pairs])
    names = np.concatenate([one["names"] for one in results])
    print(
        f"{second} to {first}: mistakes {pooled:.3f} (seeds {spread(ratios)}), accuracy "
        f"{in_words(changes, names)}"
    )
    wrong = {name: [1 - one["hits"][name].mean() for one in results] for name in (first, second)}
    details = {
        "share of mistakes": wrong,
        "difference of accuracy, 95 % interval": difference(changes, names),
        "all seeds together": pooled,
    }
    record(claim, ratios, len(results), "seeds", case=case, details=details, data=data)


def in_words(changes: NDArray[np.float64], names: NDArray[np.str_]) -> str:
    mean, low, high = difference(changes, names)
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}], {len(changes)} images"


def difference(changes: NDArray[np.float64], names: NDArray[np.str_]) -> tuple[float, float, float]:
    """Mean change of single images, and its 95 % interval.

    An image that several seeds drew (the same `names`) counts as one group.
    """
    _, groups = np.unique(names, return_inverse=True)
    sums = np.bincount(groups, changes - changes.mean())
    half = Z95 * float(np.sqrt((sums**2).sum())) / len(changes)
    mean = float(changes.mean())
    return mean, mean - half, mean + half


if __name__ == "__main__":
    recording(main, __file__)
