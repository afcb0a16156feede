"""Claim: >= 80 % of the first label suspects are wrong, and fixing them helps.

As many suspects count as labels were made wrong (3 %).

    python benchmarks/honesty/wrong_labels.py DATA [--seeds 3] [--rounds 8] [--place FOLDER]

A fifth of the images, without near duplicates in the rest, is held out with right labels; 3 % of
the rest get a wrong label. Five folds are trained, a person who knows the truth decides on the
first suspects, as many as were planted, and five folds are trained again with these fixes. The
ensembles' accuracies on the held-out fifth are paired by image; the 95 % interval of their
difference is a bootstrap over images (near duplicates together).

First a cheap stand-in for many splits: the head of `fast` alone (a linear discriminant of
frozen features, computed once), --rounds times each of five fifths held out. Then `fast` itself, a
fifth for each seed, by `bestiary train`, `labels` and `train --fixes`. --place keeps its runs, so
that an interrupted measurement continues.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

import bestiary
from bestiary.data.folds import assign_folds
from bestiary.evaluation.labels import review_labels
from bestiary.stats.label_issues import find_label_issues
from bestiary.training.dataset import TrainingSet

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.frozen import FOLDS, Numbers, cross_validate, features_of, read_data
from harness.record import record, recording

CLAIMS = {
    "wrong-labels-found": {
        "statement": "Most of the first label suspects are wrong labels",
        "unit": "of the first suspects",
        "bar": ("least", 0.8, "a person's time is well spent"),
        "watches": ("src/bestiary/stats/label_issues.py",),
    },
    "wrong-labels-fixed": {
        "statement": "Mending wrong labels raises the accuracy on new images",
        "unit": "difference of accuracy",
        "bar": ("least", 0.0, "mending must not harm"),
        "watches": ("src/bestiary/stats/label_issues.py",),
    },
}
COMMANDS = ("{data}",)


WRONG = 0.03


def split(data: TrainingSet, groups: Numbers, seed: int) -> Numbers:
    """A fifth (0 to 4) for each image."""
    return assign_folds(data.paths, pl.Series(data.labels), groups, FOLDS, seed)


def plant(truth: Numbers, classes: int, rng: np.random.Generator) -> Numbers:
    """The labels with 3 % of them changed to another class."""
    noisy = truth.copy()
    wrong = rng.choice(len(truth), round(WRONG * len(truth)), replace=False)
    noisy[wrong] = (truth[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return noisy


def measure_head(data: TrainingSet, groups: Numbers, rounds: int, source: Path) -> None:
    features = features_of(data)
    classes = len(data.classes)
    hits = np.zeros((3, len(data.paths)))
    precisions = []
    for seed in range(rounds):
        fifths = split(data, groups, seed)
        rng = np.random.default_rng(seed)
        for fifth in range(FOLDS):
            rest = np.flatnonzero(fifths != fifth)
            held_out = np.flatnonzero(fifths == fifth)
            names = data.paths[rest]
            truth = data.labels[rest]
            noisy = plant(data.labels[rest], classes, rng)
            folds = assign_folds(names, pl.Series(noisy), groups[rest], FOLDS, seed)
            logits, members = cross_validate(
                features[rest], noisy, folds, features[held_out], classes
            )
            issues = find_label_issues(softmax(logits, axis=1), noisy)
            top = issues.suspects[: (noisy != truth).sum()]
            precisions.append(float((noisy != truth)[top].sum() / (noisy != truth).sum()))
            fixed = noisy.copy()
            fixed[top] = truth[top]
            _, after = cross_validate(features[rest], fixed, folds, features[held_out], classes)
            _, best = cross_validate(features[rest], truth, folds, features[held_out], classes)
            for row, logits in enumerate((members, after, best)):
                hits[row, held_out] += (
                    logits.mean(axis=0).argmax(axis=1) == data.labels[held_out]
                ) / rounds
    print(
        f"head of fast, {rounds} rounds of {FOLDS} fifths: of the first suspects "
        f"{np.mean(precisions):.3f} are planted "
        f"({min(precisions):.3f} to {max(precisions):.3f}); {paired(hits[0], hits[1], groups)}; "
        f"with all labels right "
        f"{hits[2].mean():.4f}",
        flush=True,
    )
    n = rounds * FOLDS
    case = "head of fast"
    shares = (np.mean(precisions), min(precisions), max(precisions))
    spread = "mean, least to most"
    record("wrong-labels-found", shares, n, "splits", case=case, spread=spread, data=source)
    scores = dict(zip(("before", "after", "every label right"), hits.mean(axis=1), strict=True))
    record(
        "wrong-labels-fixed",
        gain(hits[0], hits[1], groups),
        n,
        "splits",
        case=case,
        spread="95 % interval over images",
        details={"accuracy": scores},
        data=source,
    )


def gain(
    before: NDArray[np.float64], after: NDArray[np.float64], groups: Numbers
) -> tuple[float, float, float]:
    """The difference of two accuracies and its interval, over groups of near duplicates."""
    _, codes = np.unique(groups, return_inverse=True)
    gained = np.bincount(codes, after - before)
    size = np.bincount(codes)
    drawn = np.random.default_rng(0).integers(0, len(size), (4_000, len(size)))
    low, high = np.quantile(gained[drawn].sum(axis=1) / size[drawn].sum(axis=1), (0.025, 0.975))
    return float((after - before).mean()), float(low), float(high)


def paired(before: NDArray[np.float64], after: NDArray[np.float64], groups: Numbers) -> str:
    """Both accuracies and their difference with its interval."""
    mean, low, high = gain(before, after, groups)
    return (
        f"held out {before.mean():.4f} before, {after.mean():.4f} after, difference "
        f"{mean:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] (n = {len(before)})"
    )


def measure_fast(data: TrainingSet, groups: Numbers, seeds: int, place: Path) -> None:
    rows = []
    shares = []
    before_parts = []
    after_parts = []
    for seed in range(seeds):
        rest = np.flatnonzero(split(data, groups, seed) != 0)
        held_out = np.flatnonzero(split(data, groups, seed) == 0)
        noisy = plant(data.labels[rest], len(data.classes), np.random.default_rng(seed))
        table = pl.DataFrame({"path": data.paths[rest], "label": [data.classes[n] for n in noisy]})
        folder = place / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        table.write_csv(folder / "table.csv")
        first = train(folder, "first", data.root, None)
        truth = {data.paths[n]: data.classes[data.labels[n]] for n in rest.tolist()}
        wrong = int((noisy != data.labels[rest]).sum())
        suspects = review_labels(first, folder / "labels").undecided
        top = suspects.head(wrong)
        right = pl.Series("suggested", [truth[path] for path in top["path"]])
        planted_found = int((right != top["given"]).sum())
        action = (
            pl.when(right == top["given"])
            .then(pl.lit("keep"))
            .otherwise(pl.lit("relabel"))
            .alias("action")
        )
        top.with_columns(right, action).write_csv(folder / "fixes.csv")
        second = train(folder, "second", data.root, folder / "fixes.csv")
        paths = [data.root / path for path in data.paths[held_out]]
        names = np.array(data.classes)[data.labels[held_out]]
        before, after = (bestiary.load(run).predict(paths) == names for run in (first, second))
        shares.append(planted_found / wrong)
        rows = [*rows, held_out]
        before_parts = [*before_parts, before]
        after_parts = [*after_parts, after]
        print(
            f"fast, seed {seed}: {planted_found} of the first {top.height} suspects are planted "
            f"({planted_found / wrong:.3f}; planted "
            f"{wrong}, suspects {suspects.height}); "
            f"{paired(before * 1.0, after * 1.0, groups[held_out])}; fixed "
            f"{int((after & ~before).sum())}, broken {int((before & ~after).sum())}",
            flush=True,
        )
    if rows:
        pooled = [np.concatenate(parts) for parts in (before_parts, after_parts, rows)]
        of = pooled[0] * 1.0, pooled[1] * 1.0, groups[pooled[2]]
        print(f"fast, all seeds: {paired(*of)}")
        record("wrong-labels-found", shares, seeds, "splits", case="fast", data=data.root)
        spread = "95 % interval over images"
        record("wrong-labels-fixed", gain(*of), seeds, "splits", case="fast", spread=spread)


def train(place: Path, name: str, root: Path, fixes: Path | None) -> bestiary.Run:
    run = place / name
    if (run / "recipe.toml").exists():
        return bestiary.train(place / "table.csv", run, resume=True, quiet=True)
    args = [f"data.root={root}"]
    return bestiary.train(
        place / "table.csv", run, recipe="fast", overrides=args, fixes=fixes, quiet=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--place", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = args.place or Path(scratch)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        data, groups = read_data(args.data)
        if args.rounds:
            measure_head(data, groups, args.rounds, args.data)
        measure_fast(data, groups, args.seeds, place)


if __name__ == "__main__":
    recording(main, __file__)
