"""Claim: of the first suspects, as many as labels were made wrong (3 %), ≥ 80 % are wrong, and mending them helps.

Run: python benchmarks/bench_wrong_labels.py FOLDER_OF_CLASS_FOLDERS [SEEDS] [OVERRIDE ...]

A fifth of each class is held out with right labels. In the rest 3 % of the labels are made wrong; `fast` (plus the
overrides) is trained, `labels` finds suspects, a person who knows the truth decides on the first of them, as many as
were planted, and `fast` is trained anew with the fixes. Prints the share of planted labels among those suspects, and
the ensembles' accuracies on the held-out pictures with the paired difference and its 95 % interval (normal, of the
differences of hits).
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from bestiary import api

WRONG = 0.03


def prepare(source: Path, place: Path, seed: int) -> tuple[Path, dict[str, str]]:
    """Write table.csv of the pictures to train on; gives the folder of held-out ones and the true labels."""
    rng = np.random.default_rng(seed)
    truth: dict[str, str] = {}
    for folder in sorted(source.iterdir()):
        files = rng.permutation(sorted(path.name for path in folder.iterdir()))
        count = len(files) // 5
        (place / "held-out" / folder.name).mkdir(parents=True)
        for name in files[:count]:
            (place / "held-out" / folder.name / name).symlink_to(folder / name)
        truth |= {f"{folder.name}/{name}": folder.name for name in files[count:]}
    paths, classes = sorted(truth), sorted(set(truth.values()))
    given = dict(truth)
    for path in rng.choice(paths, round(WRONG * len(paths)), replace=False):
        given[path] = str(rng.choice([name for name in classes if name != truth[path]]))
    pl.DataFrame({"path": paths, "label": [given[path] for path in paths]}).write_csv(place / "table.csv")
    return place / "held-out", truth


def hits(run: Path, held: Path) -> pl.DataFrame:
    table = api.predict(run, held, out=run / "held-out.parquet", quiet=True).table
    return table.select("path", (pl.col("label") == pl.col("path").str.split("/").list.first()).alias("hit"))


def main() -> None:
    source, seeds, overrides = Path(sys.argv[1]).resolve(), int((*sys.argv, "3")[2]), sys.argv[3:]
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            os.environ["BESTIARY_CACHE"] = str(place / "cache")
            held, truth = prepare(source, place, seed)
            asked = [*overrides, f"data.root={source}"]
            first = api.train(place / "table.csv", place / "first", recipe="fast", overrides=asked, quiet=True)
            suspects = api.labels(first.path).undecided
            given = dict(pl.read_csv(place / "table.csv").iter_rows())
            planted = sum(given[path] != truth[path] for path in truth)
            top = suspects.head(planted)
            right = pl.Series("suggested", [truth[path] for path in top["path"]])
            action = pl.when(right == top["given"]).then(pl.lit("keep")).otherwise(pl.lit("relabel")).alias("action")
            found = int((right != top["given"]).sum())
            top.with_columns(right, action).write_csv(place / "fixes.csv")
            second = api.train(
                place / "table.csv",
                place / "second",
                recipe="fast",
                overrides=asked,
                fixes=place / "fixes.csv",
                quiet=True,
            )
            before, after = hits(first.path, held), hits(second.path, held)
            gain = after["hit"].cast(pl.Float64) - before["hit"].cast(pl.Float64)
            half = 1.96 * float(gain.std()) / len(gain) ** 0.5
            print(
                f"seed {seed}: {found} of the first {top.height} suspects are planted ({found / planted:.3f}; planted "
                f"{planted}, suspects {suspects.height}); held out {before['hit'].mean():.4f} before, "
                f"{after['hit'].mean():.4f} after, difference {gain.mean():+.4f} ± {half:.4f} (n = {len(gain)})",
                flush=True,
            )


if __name__ == "__main__":
    main()
