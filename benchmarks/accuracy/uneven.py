"""Which option for uneven classes pays: adjusted logits, class weights, balanced sampling, costs.

    python benchmarks/accuracy/uneven.py [DATA TEST] [--seeds 2] [--folds 2] [--epochs 3]
        [--set key=value ...]

A long-tailed training set is cut from DATA (class folders): the k-th class keeps LARGEST images
times RATIO to the power of k / (classes - 1). Without DATA, beasts are drawn. TEST has as many
images of each class, so accuracy there is balanced accuracy. Each variant trains a run; every run
is judged by its likeliest classes and by balanced costs (`predict --costs balanced`), and by log
loss on a test set that is weighted to the training shares, which shows whether its probabilities
are those of the natural shares.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.ensemble.ensemble import Ensemble
from bestiary.rng import keyed_rng
from bestiary.stats.costs import balanced_costs, decide
from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import paired_difference

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "uneven-fine-tuned": {
        "statement": "What options for uneven classes are worth, fine-tuned",
        "unit": "difference of balanced accuracy",
        "watches": (
            "src/bestiary/recipe/shipped/fast.toml",
            "src/bestiary/training/loss.py",
            "src/bestiary/stats/costs.py",
        ),
    },
}
COMMANDS = ("",)


Floats = NDArray[np.float64]
LARGEST = 48
RATIO = 0.1
VARIANTS: dict[str, list[str]] = {
    "plain": [],
    "logit_adjustment=1": ["loss.logit_adjustment=1"],
    "class_weights=1": ["loss.class_weights=1"],
    "class_weights=0.5": ["loss.class_weights=0.5"],
    "sampler=balanced": ["data.sampler=balanced"],
    "sampler=balanced, logit_adjustment=1": ["data.sampler=balanced", "loss.logit_adjustment=1"],
}


def class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def cut_tail(data: Path, out: Path, seed: int) -> int:
    """Copy fewer and fewer images of each class; give their number."""
    copied = 0
    folders = class_folders(data)
    order = keyed_rng(seed, "uneven classes").permutation(len(folders))
    for rank, number in enumerate(order):
        files = sorted(folders[number].iterdir())
        count = round(LARGEST * RATIO ** (rank / (len(folders) - 1)))
        chosen = keyed_rng(seed, "uneven images", int(number)).permutation(len(files))[:count]
        (out / folders[number].name).mkdir(parents=True)
        for index in chosen:
            shutil.copy(files[index], out / folders[number].name)
        copied += len(chosen)
    return copied


def draw_beasts(folder: Path) -> tuple[Path, Path]:
    draw_sample(folder / "all", species=12, per_species=68, size=128)
    for label in class_folders(folder / "all"):
        (folder / "test" / label.name).mkdir(parents=True)
        for file in sorted(label.iterdir())[:20]:
            shutil.move(file, folder / "test" / label.name)
    return folder / "all", folder / "test"


def judge(run: bestiary.Run, test: Path) -> dict[str, object]:
    """Hits of both rules on the balanced test images, and log loss at the training shares."""
    ensemble = Ensemble.load(run)
    classes = ensemble.classes_.tolist()
    files = [file for label in class_folders(test) for file in sorted(label.iterdir())]
    labels = np.array([classes.index(file.parent.name) for file in files])
    logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(files)], axis=1)
    probabilities = ensemble.probabilities(logits)
    counts = np.bincount(
        [classes.index(label) for label in run.read_table("manifest.parquet")["label"]],
        minlength=len(classes),
    )
    shares = counts / counts.sum()
    decided, _ = decide(probabilities, balanced_costs(shares))
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    weights = (shares / np.bincount(labels, minlength=len(classes)))[labels]
    rare = shares[labels] < np.median(shares)
    return {
        "hits": probabilities.argmax(axis=1) == labels,
        "costs": decided == labels,
        "rare": rare,
        "natural": float((weights * (probabilities.argmax(axis=1) == labels)).sum()),
        "log_loss": float((weights * losses).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--epochs", type=int, default=3, help="`fast` itself has none")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data, test = args.data if args.data else draw_beasts(folder)
        results: dict[str, list[dict[str, object]]] = {name: [] for name in VARIANTS}
        for seed in range(args.seeds):
            used = cut_tail(data, folder / f"tail-{seed}", seed)
            for number, (name, overrides) in enumerate(VARIANTS.items()):
                run = bestiary.train(
                    folder / f"tail-{seed}",
                    folder / f"run-{seed}-{number}",
                    recipe=args.recipe,
                    folds=args.folds,
                    overrides=[
                        f"train.epochs={args.epochs}",
                        *args.overrides,
                        f"train.seed={seed}",
                        *overrides,
                    ],
                    quiet=True,
                )
                results[name].append(judge(run, test))
                report(name, results)
    record_all(results, args, used)


def record_all(
    results: dict[str, list[dict[str, object]]], args: argparse.Namespace, used: int
) -> None:
    """Record what each variant changes; the part `train` of a dataset has the dataset's name."""
    data = args.data[0].resolve() if args.data else Path("drawn beasts")
    dataset = data.parent if data.name == "train" else data

    def pooled(name: str, key: str) -> NDArray[np.bool_]:
        return np.concatenate([result[key] for result in results[name]])

    plain_hits = pooled("plain", "hits")
    images = np.tile(np.arange(len(plain_hits) // args.seeds), args.seeds)
    changes, with_costs = {}, {}
    for name in results:
        if name != "plain":
            changes[name] = paired_difference(plain_hits, pooled(name, "hits"), images)
        with_costs[name] = pooled(name, "costs").mean()
    record(
        "uneven-fine-tuned",
        changes,
        args.seeds,
        "draws",
        case=f"{dataset.name}, {args.recipe}",
        spread="95 % interval",
        data=(dataset, used) if args.data else dataset.name,
        details={
            "balanced accuracy": {name: pooled(name, "hits").mean() for name in results},
            "balanced accuracy with costs": with_costs,
            "log loss": {
                name: np.mean([result["log_loss"] for result in of]) for name, of in results.items()
            },
        },
    )


def report(name: str, results: dict[str, list[dict[str, object]]]) -> None:
    """Print the results of a variant so far, of all seeds."""
    own = results[name]
    hits = np.concatenate([result["hits"] for result in own])
    costs = np.concatenate([result["costs"] for result in own])
    rare = np.concatenate([result["rare"] for result in own])
    first = np.concatenate([result["hits"] for result in results["plain"]])[: len(hits)]
    images = np.tile(np.arange(len(hits) // len(own)), len(own))
    against = paired_difference(first, hits, images)
    with_costs = paired_difference(first, costs, images)
    print(
        f"{name} ({len(own)} seeds, {len(images) // len(own)} test images): balanced accuracy "
        f"{share_interval(hits, images)}, against plain {against}; rare classes "
        f"{hits[rare].mean():.4f}; with balanced costs {costs.mean():.4f} ({with_costs}), rare "
        f"{costs[rare].mean():.4f}; at the training shares: accuracy "
        f"{np.mean([result['natural'] for result in own]):.4f}, log loss "
        f"{np.mean([result['log_loss'] for result in own]):.4f}",
        flush=True,
    )


if __name__ == "__main__":
    recording(main, __file__)
