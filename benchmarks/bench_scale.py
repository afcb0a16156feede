"""Claim: what training keeps of a row, and how long it takes, grows in proportion to the rows: docs/scale.md's model.

Run: python benchmarks/bench_scale.py

No pictures: tables of a run with drawn digests. For 10^5 and 10^6 rows, each in a process of its own: seconds to make a
training set of them, an epoch's order (of a folder, and of shards of 10,000), the reading order of shards; memory that
stays with the training set. Then what the model, with its constants from 10^5 rows, says for 10^6, against what was
measured there; and what it says for 10^7 to 10^9, where nothing was measured.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from bestiary.data.loader import epoch_order, window_order
from bestiary.recipe import load_recipe
from bestiary.train.task import TrainingSet
from paired import peak_megabytes

SIZES = (100_000, 1_000_000)


def measure(rows: int) -> dict[str, float]:
    numbers = pl.int_range(rows, eager=True)
    table = pl.DataFrame(
        {
            "path": "class-" + (numbers % 100).cast(pl.String) + "/picture-" + numbers.cast(pl.String) + ".jpg",
            "label": (numbers % 100).cast(pl.String),
            "digest": [f"{number:064x}" for number in range(rows)],
            "height": pl.Series(np.full(rows, 375), dtype=pl.Int32),
            "width": pl.Series(np.full(rows, 500), dtype=pl.Int32),
            "conflict": pl.Series(np.zeros(rows, np.bool_)),
        }
    ).sort("path")
    folds = table.select("path").with_columns(pl.Series("fold", np.arange(rows) % 5))
    recipe, before, started = load_recipe("fast", []), peak_megabytes(), time.perf_counter()
    data = TrainingSet.of(recipe, table, Path("/"), folds)
    made, kept = time.perf_counter() - started, 1e6 * (peak_megabytes() - before)
    train, _ = data.rows(0)
    started = time.perf_counter()
    epoch_order(len(train), 0, 0, 0)
    ordered = time.perf_counter() - started
    started = time.perf_counter()
    window_order((train // 10_000).astype(np.int32), 10_000, 0, 0, 0)
    windowed = time.perf_counter() - started
    return {"training set, s": made, "order, s": ordered, "order of shards, s": windowed, "memory, bytes": kept}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
        return
    small, large = (
        json.loads(subprocess.run([sys.executable, __file__, str(rows)], capture_output=True, check=True).stdout)
        for rows in SIZES
    )
    heads = "10^5 rows", "10^6, model", "10^6", "ratio", "10^7", "10^8", "10^9"
    print(" " * 20, *(f"{head:>12}" for head in heads))
    for name, value in small.items():
        model = [value * times for times in (10, 100, 1000, 10_000)]
        row = value, model[0], large[name], large[name] / model[0], *model[1:]
        print(f"{name:20}", *(f"{number:12.4g}" for number in row))


if __name__ == "__main__":
    main()
