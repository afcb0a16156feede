"""Claim: the same seed on the same machine gives the same bits.

Also measures what another number of threads changes.

Trains the same small run in new processes, twice with each number of threads and in each precision
of the machine, and compares weights and out-of-fold logits.

    python benchmarks/reliability/same_bits.py [--threads 1 2]
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from bestiary.beasts.sample import draw_sample
from bestiary.run.oof import read_oof
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "same-bits": {
        "statement": "The same seed on the same machine gives the same bits",
        "unit": "of the pairs with the same bits",
        "bar": ("least", 1.0, "a result can be made again"),
        "watches": (
            "src/bestiary/training/loop.py",
            "src/bestiary/training/determinism.py",
            "src/bestiary/rng.py",
        ),
    },
    "threads-change-bits": {
        "statement": "What another number of threads changes",
        "unit": "largest difference of a logit",
        "watches": (
            "src/bestiary/training/loop.py",
            "src/bestiary/training/determinism.py",
        ),
    },
}
COMMANDS = ("OMP_NUM_THREADS=1",)


OPTIONS = ["train.epochs=2", "view.size=96", "model.freeze=0", "optimizer.lr=1e-4"]
# Without these, autotuning decides, and may decide differently.
FIXED = [
    "train.layout=channels_last",
    "train.compile=never",
]


def train(
    data: Path, run: Path, threads: int, precision: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """All weights in one row, out-of-fold logits (images, classes), and the accuracy."""
    command = [
        sys.executable,
        "-m",
        "bestiary",
        "train",
        str(data),
        str(run),
        "--recipe",
        "fast",
        "--folds",
        "2",
    ]
    subprocess.run(
        [
            *command,
            "--quiet",
            "--set",
            *OPTIONS,
            *FIXED,
            f"train.precision={precision}",
            f"train.threads={threads}",
        ],
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "BESTIARY_CACHE": str(run.with_name(f"{run.name}-cache")),
        },
        check=True,
        capture_output=True,
    )
    files = [Run.open(run).fold(fold) for fold in (0, 1)]
    weights = [load_file(f.weights) for f in files]
    row = np.concatenate(
        [member[key].ravel().astype(np.float32) for member in weights for key in sorted(member)]
    )
    logits = np.concatenate([read_oof(f)[0]["logits"].to_numpy() for f in files])
    return row, logits, json.loads((run / "metrics.json").read_text())["oof"]["accuracy"]["value"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    twice, logits, weights, agree = {}, {}, {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        draw_sample(place / "data", species=8, per_species=20, size=128)
        for precision in ("float32", "bf16"):
            results = {}
            for threads, repeat in itertools.product(args.threads, (0, 1)):
                results[threads, repeat] = train(
                    place / "data", place / f"{precision}-{threads}-{repeat}", threads, precision
                )
            for threads in args.threads:
                same = all(
                    np.array_equal(results[threads, 0][part], results[threads, 1][part])
                    for part in (0, 1)
                )
                twice[f"{precision}, {threads} threads"] = float(same)
                print(
                    f"{precision}, {threads} threads, twice: "
                    f"{'the same bits' if same else 'OTHER BITS'}",
                    flush=True,
                )
            for one, other in itertools.combinations(args.threads, 2):
                a = results[one, 0]
                b = results[other, 0]
                changed = a[0] != b[0]
                labels = a[1].argmax(axis=1) == b[1].argmax(axis=1)
                pair = f"{precision}, {one} against {other} threads"
                weights[pair] = np.abs(a[0] - b[0]).max()
                logits[pair] = np.abs(a[1] - b[1]).max()
                agree[pair] = labels.mean()
                print(
                    f"{precision}, {one} against {other} threads: {changed.mean():.1%} of the "
                    f"weights differ, at most by "
                    f"{np.abs(a[0] - b[0]).max():.2g}; logits by {np.abs(a[1] - b[1]).max():.2g}; "
                    f"labels agree "
                    f"for {labels.mean():.1%} of {len(labels)}; accuracy {a[2]:.4f} and {b[2]:.4f}",
                    flush=True,
                )
    data = ("drawn beasts", 160)
    record("same-bits", twice, len(twice), "pairs of runs", data=data)
    details = {"largest difference of a weight": weights, "of the labels equal": agree}
    n = len(logits)
    record("threads-change-bits", logits, n, "pairs of runs", details=details, data=data)


if __name__ == "__main__":
    recording(main, __file__)
