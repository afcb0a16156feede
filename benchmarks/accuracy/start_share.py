"""Claim: the mean of the initial and the trained weights (WiSE-FT) beats both.

`best` stores the initial weights of a fold and the mean of these and the trained ones, so that the
trained ones can be computed. Every share (`train.wise_ft`) is scored on the images that each fold
holds out; one training serves all rows. The runs are those of accuracy/best.py in the same
--place, or finished runs of `best`.

    python benchmarks/accuracy/start_share.py [DATA] [--size 96] [--seeds 0 1 2] [--share 0.2]
                                           [--place DIR] [--set KEY=VALUE ...]
    python benchmarks/accuracy/start_share.py --runs RUN [RUN ...]
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.model.classifier import Classifier, load_member
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet
from bestiary.training.prediction import predict_rows

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.best import arguments, difference, in_words, seed_folders, train_or_resume
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "start-share": {
        "statement": "Half way back to the initial weights is no worse than either end",
        "unit": "difference of accuracy to a share of 0.5",
        "watches": ("@best",),
    },
}
COMMANDS = (
    "",
    "{data} --size 128",
)


SHARES = (0.0, 0.5, 1.0)


def with_share(run: Run, fold: int, share: float) -> Classifier:
    """The member of `fold` with another share of the initial weights."""
    start, member = (load_member(file) for file in (run.fold(fold).initial, run.fold(fold).weights))
    wise_ft = run.read_recipe().train.wise_ft
    weights = member.state_dict()
    with torch.no_grad():
        for name, initial_values in start.state_dict().items():
            if initial_values.is_floating_point():
                trained_values = (weights[name] - wise_ft * initial_values) / (1 - wise_ft)
                weights[name].copy_(share * initial_values + (1 - share) * trained_values)
    return member.eval()


def hits_of(run: Run) -> tuple[dict[float, NDArray[np.bool_]], NDArray[np.str_]]:
    """Hits of the held-out member of each image, by share; and the images' digests."""
    data = TrainingSet.of(
        run.read_recipe(),
        run.read_table("manifest.parquet"),
        run.read_root(),
        run.read_table("folds.parquet"),
    )
    hits = {share: np.zeros(len(data.labels), np.bool_) for share in SHARES}
    for fold in run.fold_numbers():
        held_out = data.rows(fold)[1]
        for share, of in hits.items():
            logits = predict_rows(
                data, with_share(run, fold, share), held_out, torch.device("cpu"), "bf16"
            )
            of[held_out] = logits.argmax(axis=1) == data.labels[held_out]
    scored = data.scorable(np.arange(len(data.labels)))
    return {share: of[scored] for share, of in hits.items()}, data.digests.to_numpy()[scored]


def trained_runs(args: argparse.Namespace, scratch: Path) -> Iterator[Run]:
    """A run of `best` for each seed."""
    print(f"`best` at {args.size} pixels, seeds {args.seeds}")
    for _, folder, shared_options in seed_folders(args, scratch):
        yield train_or_resume(folder, "best", [], "best", [*shared_options, *args.overrides])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        runs = map(Run, args.runs) if args.runs else trained_runs(args, Path(scratch))
        results = [hits_of(run) for run in runs]
    names = np.concatenate([digests for _, digests in results])
    hits = {
        share: np.concatenate([of[share] for of, _ in results]).astype(float) for share in SHARES
    }
    changes = {share: difference(of - hits[0.5], names) for share, of in hits.items()}
    case = f"{args.data.name if args.data else 'drawn beasts'}, {args.size} px"
    record(
        "start-share",
        {f"share {share:g}": change for share, change in changes.items() if share != 0.5},
        len(names),
        "images of all seeds",
        case="finished runs" if args.runs else case,
        spread="95 % interval",
        details={"accuracy": {f"share {share:g}": of.mean() for share, of in hits.items()}},
        data=args.data,
    )
    for share, of in hits.items():
        print(
            f"share of the start {share:.2f}: accuracy {of.mean():.4f}, to 0.5 "
            f"{in_words(of - hits[0.5], names)}"
        )


if __name__ == "__main__":
    recording(main, __file__)
