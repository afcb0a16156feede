"""Claim: square roots of the features and tau-normalized class means each improve the head.

    python benchmarks/accuracy/head_parts.py DATA [--deals 5] [--set KEY=VALUE ...]

Frozen features that recipe `best` starts from, and bestiary's folds (near duplicates in one fold)
for several seeds of the assignment. For each fold a linear discriminant, its parameters tuned
inside the training part: of the features or of their roots (`model.power_norm`), with or without
`model.head_tau_norm`. Differences of out-of-fold accuracy are paired by image, with an interval
over groups of near duplicates.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from bestiary.data.folds import assign_folds
from bestiary.model.power_norm import signed_sqrt

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.frozen import FOLDS, cross_validate, features_of, read_data
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "head-parts": {
        "statement": "Roots of the features and equal means raise the accuracy of heads",
        "unit": "difference of accuracy",
        "bar": ("least", 0.0, "a part that lowers accuracy is taken out"),
        "watches": (
            "@heads",
            "src/bestiary/model/power_norm.py",
        ),
    },
}
COMMANDS = ("{data}",)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--deals", type=int, default=5)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    data, groups = read_data(args.data, "best", ["model.power_norm=false", *args.overrides])
    classes = len(data.classes)
    recipe = data.recipe
    print(f"{machine()}\n{len(data.paths):,} images of {classes} classes")
    print(
        f"{recipe.model.backbone}, views of {recipe.view.eval_side} pixels, {recipe.predict.tta} "
        f"of each image"
    )
    features = features_of(data)
    roots = signed_sqrt(torch.from_numpy(features)).numpy()
    heads = {
        "plain": (features, False),
        "root": (roots, False),
        "tau": (features, True),
        "both": (roots, True),
    }
    hits: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in heads}
    paths = data.paths
    names = pl.Series(np.array(data.classes)[data.labels])
    for seed in range(args.deals):
        folds = assign_folds(paths, names, groups, FOLDS, seed)
        for name, (x, head_tau_norm) in heads.items():
            logits, _ = cross_validate(x, data.labels, folds, x[:1], classes, head_tau_norm)
            hits[name].append(logits.argmax(axis=1) == data.labels)
        print(
            f"deal {seed}: " + ", ".join(f"{name} {hits[name][-1].mean():.4f}" for name in heads),
            flush=True,
        )
    changes = {}
    for with_it, without in (
        ("root", "plain"),
        ("tau", "plain"),
        ("both", "tau"),
        ("both", "root"),
    ):
        gains = [a.mean() - b.mean() for a, b in zip(hits[with_it], hits[without], strict=True)]
        change = np.mean(hits[with_it], axis=0) - np.mean(hits[without], axis=0)
        half = 1.96 * np.sqrt((np.bincount(groups, change) ** 2).sum()) / len(change)
        print(
            f"{with_it} instead of {without}: {change.mean():+.4f}, 95 % interval over groups "
            f"[{change.mean() - half:+.4f}, {change.mean() + half:+.4f}], deals {min(gains):+.4f} "
            f"to {max(gains):+.4f}"
        )
        mean = change.mean()
        changes[f"{with_it} instead of {without}"] = (mean, mean - half, mean + half)
    record(
        "head-parts",
        changes,
        args.deals,
        "ways to fold",
        case=f"{recipe.view.eval_side} px, {recipe.predict.tta} views",
        spread="95 % interval over groups",
        details={"accuracy": {name: [of.mean() for of in hits[name]] for name in heads}},
        data=args.data,
    )


if __name__ == "__main__":
    recording(main, __file__)
