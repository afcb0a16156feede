"""Claim: where a fifth of near copies is planted, a plain shuffled k-fold flatters and bestiary's out-of-fold does not.

Run: python benchmarks/bench_leak_guard.py [SEEDS] [OVERRIDE ...]

Draws 20 species of 40 pictures, a fifth of altered copies added, and trains twice by recipe `fast` (plus the
overrides): with folds dealt at random, and with bestiary's own. Prints the out-of-fold accuracy of both, and the
members' mean accuracy on 50 further pictures of each species, which is what an out-of-fold accuracy claims to foretell.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from bestiary import api
from bestiary.data.beasts import draw_sample


def prepare(place: Path, seed: int) -> tuple[Path, Path]:
    """Draw the data; gives the folders of the pictures to train on and of the held-out ones.

    The same seed draws the same beasts first, so the held-out folder holds the trained ones too; `evaluate` knows them
    by their bytes and leaves them out.
    """
    data, held = place / "data", place / "held-out"
    draw_sample(data, per_species=40, seed=seed, near_duplicates=0.2)
    draw_sample(held, per_species=90, seed=seed)
    return data, held


def shuffled_folds(data: Path, seed: int, file: Path) -> Path:
    paths = sorted(path.relative_to(data).as_posix() for path in data.glob("*/*.jpg"))
    folds = np.random.default_rng(seed).permutation(np.arange(len(paths)) % 5)
    pl.DataFrame({"path": paths, "fold": folds}).write_csv(file)
    return file


def main() -> None:
    seeds, overrides = int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:]
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            os.environ["BESTIARY_CACHE"] = str(place / "cache")
            data, held = prepare(place, seed)
            plain = shuffled_folds(data, seed, place / "folds.csv")
            for name, folds in (("shuffled folds", str(plain)), ("bestiary's folds", None)):
                asked = [*overrides, f"folds.seed={seed}"]
                run = api.train(data, place / name, recipe="fast", overrides=asked, folds=folds, quiet=True)
                told = run.read_json("metrics.json")["oof"]["accuracy"]
                scores = api.evaluate(run.path, held, quiet=True).scores
                inside = told["low"] <= scores["mean_member"] <= told["high"]
                print(
                    f"seed {seed}, {name}: out-of-fold {told['value']:.4f} [{told['low']:.4f}, {told['high']:.4f}] "
                    f"(n = {told['n']}), held out {scores['mean_member']:.4f} (n = {scores['n']}), "
                    f"flatters by {told['value'] - scores['mean_member']:+.4f}, interval "
                    f"{'holds' if inside else 'misses'} it",
                    flush=True,
                )


if __name__ == "__main__":
    main()
