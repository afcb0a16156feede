"""Claim: a last layer that is given the square root of the features tells classes better apart than one without.

    python benchmarks/bench_root.py DATA [--deals 5]

Frozen features of recipe `fast` and bestiary's folds (no copy on two sides) for several seeds of the deal; for each
fold a linear discriminant, its shrinkage chosen inside the training part, of the features and of their roots.
Differences of out-of-fold accuracy are paired by picture, with an interval over groups of copies.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from bestiary.data.folds import deal
from bestiary.model.root import root
from frozen import FOLDS, cross_validate, features_of, read_data
from paired import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--deals", type=int, default=5)
    asked = parser.parse_args()
    data, groups = read_data(asked.data)
    classes = len(data.classes)
    print(f"{machine()}\n{len(data.paths):,} pictures of {classes} classes, {data.recipe.model.backbone}")
    features = features_of(data)
    roots = root(torch.from_numpy(features)).numpy()
    hits: dict[str, list[NDArray[np.bool_]]] = {"plain": [], "root": []}
    paths, names = data.paths, pl.Series(np.array(data.classes)[data.labels])
    for seed in range(asked.deals):
        folds = deal(paths, names, groups, FOLDS, seed)
        for name, x in (("plain", features), ("root", roots)):
            logits, _ = cross_validate(x, data.labels, folds, x[:1], classes)
            hits[name].append(logits.argmax(axis=1) == data.labels)
        plain, rooted = (hits[name][-1].mean() for name in ("plain", "root"))
        print(f"deal {seed}: plain {plain:.4f}, root {rooted:.4f}", flush=True)
    gains = [b.mean() - a.mean() for a, b in zip(hits["plain"], hits["root"], strict=True)]
    change = np.mean(hits["root"], axis=0) - np.mean(hits["plain"], axis=0)
    half = 1.96 * np.sqrt((np.bincount(groups, change) ** 2).sum()) / len(change)
    print(f"gain over deals: mean {statistics.mean(gains):+.4f}, {min(gains):+.4f} to {max(gains):+.4f}")
    interval = f"[{change.mean() - half:+.4f}, {change.mean() + half:+.4f}]"
    print(
        f"gain {change.mean():+.4f}, 95 % interval over groups of copies {interval}, each picture's mean over the deals"
    )


if __name__ == "__main__":
    main()
