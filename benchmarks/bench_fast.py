"""Claim: `fast` trains five folds on two cores in minutes, and its score tells what new pictures get.

Sets a part of the labelled pictures of a folder aside, trains `fast` on the rest, and scores the part set aside, which
no fold has seen: is its accuracy inside the out-of-fold interval?

    python benchmarks/bench_fast.py DATA [--share 0.2] [--seed 0] [--folds 5] [--all]

With --all nothing is set aside: the time and the out-of-fold score of the whole folder.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import polars as pl

import bestiary
from bestiary.data.draws import generator
from bestiary.data.listing import list_labelled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    listing = list_labelled(asked.data)
    aside = pl.Series(generator(asked.seed, "set aside").random(listing.table.height) < asked.share) & (not asked.all)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name, part in (("known", ~aside), ("new", aside)):
            listing.table.filter(part).select("path", "label").write_csv(place / f"{name}.csv")
        root = f"data.root={asked.data.resolve()}"
        started = time.perf_counter()
        run = bestiary.train(place / "known.csv", place / "run", recipe="fast", overrides=[root], folds=asked.folds)
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, {asked.data.name}, seed {asked.seed}: {minutes:.1f} minutes"
        )
        print(run.score_line)
        if not asked.all:
            table = place / "new.csv"
            _link(asked.data, listing.table.filter(aside), place / "new")
            table.unlink()
            print(bestiary.evaluate(run.path, place / "new", quiet=True))


def _link(data: Path, table: pl.DataFrame, goal: Path) -> None:
    for path, label in table.select("path", "label").iter_rows():
        (goal / label).mkdir(parents=True, exist_ok=True)
        (goal / label / Path(path).name).symlink_to((data / path).resolve())


if __name__ == "__main__":
    main()
