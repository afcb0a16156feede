"""Claim: the shipped recipes give the same bits as before, on small data, for the same seed.

Trains `probe`, `fast`, `best` and `paper` on drawn images (one thread, float32, so that no
measurement decides), then predicts new images, and prints SHA-256 digests: of the images drawn, of
each run's weights, of its out-of-fold logits and of its predictions. Two versions of bestiary give
the same bits if they print the same lines.

    python benchmarks/reliability/digests.py [--source FOLDER]
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording
from harness.results import RESULTS, read_file

CLAIMS = {
    "recipe-digests": {
        "statement": "The shipped recipes give the same bits as before",
        "unit": "of the digests as in the last record",
        "watches": (
            "src/bestiary/training/loop.py",
            "src/bestiary/rng.py",
            "src/bestiary/recipe/shipped/*.toml",
        ),
    },
}
COMMANDS = ("",)


FIXED = [
    "train.precision=float32",
    "train.layout=channels_last",
    "train.compile=never",
    "train.threads=1",
]
RECIPES = {
    "probe": ["view.size=96"],
    "fast": ["view.size=96", "train.epochs=2"],
    "best": ["view.size=96", "train.epochs=2"],
    "paper": ["view.size=64", "train.epochs=2", "model.weights=none", "train.batch_size=16"],
}


def bestiary(source: Path, cache: Path, *arguments: object) -> None:
    """Run one verb of the version whose package lies in `source`, on one thread."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(source),
        "OMP_NUM_THREADS": "1",
        "BESTIARY_CACHE": str(cache),
    }
    command = [sys.executable, "-m", "bestiary", *map(str, arguments), "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def digest_of_images(folder: Path) -> str:
    """One digest of every file below `folder`."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.*")):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def digest_of_weights(run: Path) -> str:
    """One digest of all members' tensors."""
    digest = hashlib.sha256()
    for file in sorted(run.glob("fold-*/weights.safetensors")):
        for name, tensor in sorted(load_file(file).items()):
            digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()[:16]


def digest_of_logits(run: Path) -> str:
    """One digest of all folds' out-of-fold paths and logits."""
    digest = hashlib.sha256()
    for file in sorted(run.glob("fold-*/oof.parquet")):
        table = pl.read_parquet(file)
        digest.update("\n".join(table["path"]).encode())
        digest.update(np.ascontiguousarray(table["logits"].to_numpy()).tobytes())
    return digest.hexdigest()[:16]


def digest_of_predictions(file: Path) -> str:
    """One digest of the labels and confidences of a table of predictions."""
    table = pl.read_csv(file, infer_schema=False).select("path", "label", "confidence")
    return hashlib.sha256(table.write_csv().encode()).hexdigest()[:16]


def main() -> None:
    """Print the digests, one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path(__file__).resolve().parents[2] / "src")
    source = parser.parse_args().source.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        size = ("--species", 6, "--per-species", 12, "--size", 128)
        bestiary(source, place, "sample", place / "data", *size, "--near-duplicates", 0.1)
        bestiary(source, place, "sample", place / "new", *size, "--seed", 1)
        lines = [f"images {digest_of_images(place / 'data')} {digest_of_images(place / 'new')}"]
        print(lines[0], flush=True)
        for recipe, options in RECIPES.items():
            run = place / recipe
            chosen = ("--recipe", recipe, "--folds", 3, "--set", *options, *FIXED)
            bestiary(source, place / f"cache-{recipe}", "train", place / "data", run, *chosen)
            table = place / f"{recipe}.csv"
            predict = ("predict", run, place / "new", "--out", table)
            bestiary(source, place / f"cache-{recipe}", *predict)
            lines.append(
                f"{recipe}: weights {digest_of_weights(run)}, "
                f"out-of-fold logits {digest_of_logits(run)}, "
                f"predictions {digest_of_predictions(table)}"
            )
            print(lines[-1], flush=True)
    file = RESULTS / "recipe-digests.jsonl"
    last = read_file(file)[-1].note if file.exists() else ""
    same = sum(line in last for line in lines) / len(lines) if last else 1.0
    record("recipe-digests", same, len(lines), "lines of digests", note="; ".join(lines))


if __name__ == "__main__":
    recording(main, __file__)
