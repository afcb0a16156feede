"""Claim: the mean of the start's and the trained weights beats both.

`best` keeps the weights that a fold started from and the mean of these and the trained ones, so
that the trained ones follow; every share of the start is then judged on the images that each fold
holds out. One training serves all rows. Runs are those of bench_best.py, and are found again in its
place; or finished ones of `best`.

    python benchmarks/bench_start_share.py [DATA] [--size 96] [--seeds 0 1 2] [--share 0.2] [--place DIR]
                                           [--set KEY=VALUE ...]
    python benchmarks/bench_start_share.py --runs RUN [RUN ...]
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench_best import arguments, dealt, difference, trained
from bestiary.model.classifier import Classifier, load_member
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet
from bestiary.training.prediction import predict_rows
from paired import machine

SHARES = (0.0, 0.5, 1.0)


def with_share(run: Run, fold: int, share: float) -> Classifier:
    """The member of `fold` as it would be with another share of the start."""
    start, member = (load_member(file) for file in (run.fold(fold).start, run.fold(fold).weights))
    own, weights = run.read_recipe().train.wise_ft, member.state_dict()
    with torch.no_grad():
        for name, begun in start.state_dict().items():
            if begun.is_floating_point():
                ended = (weights[name] - own * begun) / (1 - own)
                weights[name].copy_(share * begun + (1 - share) * ended)
    return member.eval()


def hits_of(run: Run) -> tuple[dict[float, NDArray[np.bool_]], NDArray[np.str_]]:
    """Whether each image is taken for what it is by the member that has not seen it, by share;
    and their digests.
    """
    data = TrainingSet.of(
        run.read_recipe(),
        run.read_table("manifest.parquet"),
        run.read_root(),
        run.read_table("folds.parquet"),
    )
    hits = {share: np.zeros(len(data.labels), np.bool_) for share in SHARES}
    for fold in run.fold_numbers():
        held = data.rows(fold)[1]
        for share, of in hits.items():
            logits = predict_rows(
                data, with_share(run, fold, share), held, torch.device("cpu"), "bf16"
            )
            of[held] = logits.argmax(axis=1) == data.labels[held]
    scored = data.scored(np.arange(len(data.labels)))
    return {share: of[scored] for share, of in hits.items()}, data.digests.to_numpy()[scored]


def trained_runs(asked: argparse.Namespace, scratch: Path) -> Iterator[Run]:
    """One of `best` for each seed."""
    print(f"`best` at {asked.size} pixels, seeds {asked.seeds}")
    for _, folder, same in dealt(asked, scratch):
        yield trained(folder, "best", [], "best", [*same, *asked.overrides])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        runs = map(Run, asked.runs) if asked.runs else trained_runs(asked, Path(scratch))
        found = [hits_of(run) for run in runs]
    names = np.concatenate([digests for _, digests in found])
    hits = {share: np.concatenate([of[share] for of, _ in found]).astype(float) for share in SHARES}
    for share, of in hits.items():
        print(
            f"share of the start {share:.2f}: accuracy {of.mean():.4f}, to 0.5 "
            f"{difference(of - hits[0.5], names)}"
        )


if __name__ == "__main__":
    main()
