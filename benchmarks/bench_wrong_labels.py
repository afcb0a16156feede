"""Claim: of the first suspects, as many as labels were made wrong (3 %), ≥ 80 % are wrong, and
mending them helps.

    python benchmarks/bench_wrong_labels.py DATA [--seeds 3] [--rounds 8] [--place FOLDER]

A fifth of the images, no copy of which is among the rest, is held out with right labels; of the
rest 3 % get a wrong label each. Five folds are trained, a person who knows the truth decides on the
first suspects, as many as were planted, and five folds are trained anew with these fixes. The
ensembles' accuracies on the held-out fifth are paired by image; the interval of their difference is
a bootstrap over images (copies together), 95 %.

First a cheap stand-in, so that many splits can be had: the head that `fast` starts from (a linear
discriminant of frozen features, which are computed once), --rounds times each of five fifths held
out. Then `fast` itself, a fifth for each seed, by `bestiary train`, `labels` and `train --fixes`;
--place keeps its runs, so that an interrupted measurement goes on where it stopped.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

import bestiary
from bestiary.data.folds import deal
from bestiary.evaluation.labels import review_labels
from bestiary.stats.label_issues import find_label_issues
from bestiary.training.dataset import TrainingSet
from frozen import FOLDS, Numbers, cross_validate, features_of, read_data

WRONG = 0.03


def split(data: TrainingSet, groups: Numbers, seed: int) -> Numbers:
    """A fifth (0 to 4) for each image."""
    return deal(data.paths, pl.Series(data.labels), groups, FOLDS, seed)


def plant(truth: Numbers, classes: int, rng: np.random.Generator) -> Numbers:
    """The labels with 3 % of them changed to another class."""
    given = truth.copy()
    wrong = rng.choice(len(truth), round(WRONG * len(truth)), replace=False)
    given[wrong] = (truth[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return given


def measure_head(data: TrainingSet, groups: Numbers, rounds: int) -> None:
    features, classes = features_of(data), len(data.classes)
    hits, precisions = np.zeros((3, len(data.paths))), []
    for seed in range(rounds):
        fifths, rng = split(data, groups, seed), np.random.default_rng(seed)
        for fifth in range(FOLDS):
            rest, held = np.flatnonzero(fifths != fifth), np.flatnonzero(fifths == fifth)
            names = data.paths[rest]
            truth, given = data.labels[rest], plant(data.labels[rest], classes, rng)
            folds = deal(names, pl.Series(given), groups[rest], FOLDS, seed)
            logits, members = cross_validate(features[rest], given, folds, features[held], classes)
            issues = find_label_issues(softmax(logits, axis=1), given)
            top = issues.suspects[: (given != truth).sum()]
            precisions.append(float((given != truth)[top].sum() / (given != truth).sum()))
            mended = given.copy()
            mended[top] = truth[top]
            _, after = cross_validate(features[rest], mended, folds, features[held], classes)
            _, best = cross_validate(features[rest], truth, folds, features[held], classes)
            for row, logits in enumerate((members, after, best)):
                hits[row, held] += (
                    logits.mean(axis=0).argmax(axis=1) == data.labels[held]
                ) / rounds
    print(
        f"head of fast, {rounds} rounds of {FOLDS} fifths: of the first suspects "
        f"{np.mean(precisions):.3f} are planted "
        f"({min(precisions):.3f} to {max(precisions):.3f}); {paired(hits[0], hits[1], groups)}; "
        f"with all labels right "
        f"{hits[2].mean():.4f}",
        flush=True,
    )


def paired(before: NDArray[np.float64], after: NDArray[np.float64], groups: Numbers) -> str:
    """Both accuracies and their difference with its interval, copies drawn together."""
    _, codes = np.unique(groups, return_inverse=True)
    gain, size = np.bincount(codes, after - before), np.bincount(codes)
    drawn = np.random.default_rng(0).integers(0, len(size), (4_000, len(size)))
    low, high = np.quantile(gain[drawn].sum(axis=1) / size[drawn].sum(axis=1), (0.025, 0.975))
    return (
        f"held out {before.mean():.4f} before, {after.mean():.4f} after, difference "
        f"{(after - before).mean():+.4f} "
        f"[{low:+.4f}, {high:+.4f}] (n = {len(before)})"
    )


def measure_fast(data: TrainingSet, groups: Numbers, seeds: int, place: Path) -> None:
    rows, befores, afters = [], [], []
    for seed in range(seeds):
        rest = np.flatnonzero(split(data, groups, seed) != 0)
        held = np.flatnonzero(split(data, groups, seed) == 0)
        given = plant(data.labels[rest], len(data.classes), np.random.default_rng(seed))
        table = pl.DataFrame({"path": data.paths[rest], "label": [data.classes[n] for n in given]})
        here = place / f"seed-{seed}"
        here.mkdir(parents=True, exist_ok=True)
        table.write_csv(here / "table.csv")
        first = train(here, "first", data.root, None)
        truth = {data.paths[n]: data.classes[data.labels[n]] for n in rest.tolist()}
        wrong = int((given != data.labels[rest]).sum())
        suspects = review_labels(first, here / "labels").undecided
        top = suspects.head(wrong)
        right = pl.Series("suggested", [truth[path] for path in top["path"]])
        found = int((right != top["given"]).sum())
        action = (
            pl.when(right == top["given"])
            .then(pl.lit("keep"))
            .otherwise(pl.lit("relabel"))
            .alias("action")
        )
        top.with_columns(right, action).write_csv(here / "fixes.csv")
        second = train(here, "second", data.root, here / "fixes.csv")
        paths = [data.root / path for path in data.paths[held]]
        names = np.array(data.classes)[data.labels[held]]
        before, after = (bestiary.load(run).predict(paths) == names for run in (first, second))
        rows, befores, afters = [*rows, held], [*befores, before], [*afters, after]
        print(
            f"fast, seed {seed}: {found} of the first {top.height} suspects are planted "
            f"({found / wrong:.3f}; planted "
            f"{wrong}, suspects {suspects.height}); "
            f"{paired(before * 1.0, after * 1.0, groups[held])}; mended "
            f"{int((after & ~before).sum())}, spoilt {int((before & ~after).sum())}",
            flush=True,
        )
    if rows:
        pooled = [np.concatenate(parts) for parts in (befores, afters, rows)]
        print(f"fast, all seeds: {paired(pooled[0] * 1.0, pooled[1] * 1.0, groups[pooled[2]])}")


def train(place: Path, name: str, root: Path, fixes: Path | None) -> bestiary.Run:
    run = place / name
    if (run / "recipe.toml").exists():
        return bestiary.train(place / "table.csv", run, resume=True, quiet=True)
    asked = [f"data.root={root}"]
    return bestiary.train(
        place / "table.csv", run, recipe="fast", overrides=asked, fixes=fixes, quiet=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--place", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.place or Path(scratch)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        data, groups = read_data(asked.data)
        if asked.rounds:
            measure_head(data, groups, asked.rounds)
        measure_fast(data, groups, asked.seeds, place)


if __name__ == "__main__":
    main()
