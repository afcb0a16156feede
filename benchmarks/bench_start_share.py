"""Claim: the mean of the start's and the trained weights beats both.

`best` keeps the weights that a fold started from and the mean of these and the trained ones, so that the trained ones
follow; every share of the start is then judged on the pictures that each fold holds out. One training serves all rows.
Runs are those of bench_best.py, and are found again in its place.

    python benchmarks/bench_start_share.py [DATA] [--size 96] [--seeds 0 1 2] [--share 0.2] [--place DIR]
                                           [--set KEY=VALUE ...]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench_best import difference, trained
from bestiary.data.beasts import draw_sample
from bestiary.model import Classifier, load_member
from bestiary.run import Run
from bestiary.train.predicting import predict_rows
from bestiary.train.task import TrainingSet
from paired import machine
from workload import set_aside

SHARES = (0.0, 0.5, 1.0)


def with_share(run: Run, fold: int, share: float) -> Classifier:
    """The member of `fold` as it would be with another share of the start."""
    start, member = (load_member(file) for file in (run.fold(fold).start, run.fold(fold).weights))
    own, weights = run.recipe.train.start_share, member.state_dict()
    with torch.no_grad():
        for name, begun in start.state_dict().items():
            if begun.is_floating_point():
                ended = (weights[name] - own * begun) / (1 - own)
                weights[name].copy_(share * begun + (1 - share) * ended)
    return member.eval()


def hits_of(run: Run) -> tuple[dict[float, NDArray[np.bool_]], NDArray[np.str_]]:
    """Whether each picture is taken for what it is by the member that has not seen it, by share; and their digests."""
    data = TrainingSet.of(run.recipe, run.read_table("manifest.parquet"), run.root, run.read_table("folds.parquet"))
    hits = {share: np.zeros(len(data.labels), np.bool_) for share in SHARES}
    for fold in run.folds:
        held = data.rows(fold)[1]
        for share, of in hits.items():
            logits = predict_rows(data, with_share(run, fold, share), held, torch.device("cpu"), "bf16")
            of[held] = logits.argmax(axis=1) == data.labels[held]
    scored = data.scored(np.arange(len(data.labels)))
    return {share: of[scored] for share, of in hits.items()}, data.digests.to_numpy()[scored]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--place", type=Path)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    asked = parser.parse_args()
    print(f"{machine()}\n`best` at {asked.size} pixels, seeds {asked.seeds}")
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.place or Path(scratch)
        data = asked.data or place / "beasts"
        if asked.data is None and not data.exists():
            draw_sample(data, species=20, per_species=50)
        for seed in asked.seeds:
            folder = place / f"seed-{seed}"
            if not (folder / "known.csv").exists():
                set_aside(data, folder, asked.share, seed)
            options = [f"data.root={data.resolve()}", f"view.size={asked.size}"]
            options += [f"train.seed={seed}", f"folds.seed={seed}", *asked.overrides]
            found.append(hits_of(trained(folder, "best", [], "best", options)))
    names = np.concatenate([digests for _, digests in found])
    hits = {share: np.concatenate([of[share] for of, _ in found]).astype(float) for share in SHARES}
    for share, of in hits.items():
        print(f"share of the start {share:.2f}: accuracy {of.mean():.4f}, to 0.5 {difference(of - hits[0.5], names)}")


if __name__ == "__main__":
    main()
