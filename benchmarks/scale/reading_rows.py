"""Claim: memory and time of training grow in proportion to the rows (docs/explanation/scale.md).

    python benchmarks/scale/reading_rows.py

There are no images: tables of a run with random digests. For 10^5 and 10^6 rows, each in a process
of its own: seconds to read the tables and build a training set, seconds for an epoch's order (of a
folder, and of shards of 10,000), and peak memory beyond that of the process without them. Then the
model's prediction for 10^6, with its constants from 10^5 rows, and the measurement; and the
prediction for 10^7 to 10^9, where nothing was measured.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from bestiary.data.epoch_order import epoch_order, window_order
from bestiary.recipe.load import load_recipe
from bestiary.training.dataset import TrainingSet

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import peak_megabytes
from harness.record import record, recording

CLAIMS = {
    "rows-memory": {
        "statement": "Reading a million rows takes the memory that docs/explanation/scale.md says",
        "unit": "MB",
        "watches": (
            "src/bestiary/training/dataset.py",
            "src/bestiary/data/epoch_order.py",
            "src/bestiary/run/tables.py",
        ),
    },
}
COMMANDS = ("",)


SIZES = (100_000, 1_000_000)


def write_tables(rows: int, place: Path) -> None:
    numbers = pl.int_range(rows, eager=True)
    table = pl.DataFrame(
        {
            "path": "class-"
            + (numbers % 100).cast(pl.String)
            + "/image-"
            + numbers.cast(pl.String)
            + ".jpg",
            "label": (numbers % 100).cast(pl.String),
            "sha256": [f"{number:064x}" for number in range(rows)],
            "height": pl.Series(np.full(rows, 375), dtype=pl.Int32),
            "width": pl.Series(np.full(rows, 500), dtype=pl.Int32),
            "label_conflict": pl.Series(np.zeros(rows, np.bool_)),
        }
    ).sort("path")
    table.write_parquet(place / "manifest.parquet")
    table.select("path", pl.Series("fold", np.arange(rows) % 5)).write_parquet(
        place / "folds.parquet"
    )


def measure(place: Path) -> dict[str, float]:
    recipe = load_recipe("fast", [])
    before = peak_megabytes()
    started = time.perf_counter()
    table, folds = (pl.read_parquet(place / name) for name in ("manifest.parquet", "folds.parquet"))
    data = TrainingSet.of(recipe, table, Path("/"), folds)
    build_seconds = time.perf_counter() - started
    del table, folds
    train, _ = data.rows(0)
    started = time.perf_counter()
    epoch_order(len(train), 0, 0, 0)
    order_seconds = time.perf_counter() - started
    started = time.perf_counter()
    window_order((train // 10_000).astype(np.int32), 10_000, 0, 0, 0)
    window_seconds = time.perf_counter() - started
    memory = 1e6 * (peak_megabytes() - before)
    return {
        "training set, s": build_seconds,
        "order, s": order_seconds,
        "order of shards, s": window_seconds,
        "memory, bytes": memory,
    }


def main() -> None:
    results = []
    for rows in SIZES:
        with tempfile.TemporaryDirectory() as place:
            write_tables(rows, Path(place))
            done = subprocess.run(
                [sys.executable, __file__, place], capture_output=True, check=True
            )
        results.append(json.loads(done.stdout))
    small, large = results
    measured = {key: of / 1e6 if "bytes" in key else of for key, of in large.items()}
    memory = measured.pop("memory, bytes")
    model = small["memory, bytes"] * 10 / 1e6
    details = {"MB by the model, from 10^5 rows": model, "s": measured}
    record("rows-memory", memory, 1, "runs", details=details, data=("rows", SIZES[1]))
    heads = "10^5 rows", "10^6, model", "10^6", "ratio", "10^7", "10^8", "10^9"
    print(" " * 20, *(f"{head:>12}" for head in heads))
    for name, value in small.items():
        model = [value * times for times in (10, 100, 1000, 10_000)]
        row = value, model[0], large[name], large[name] / model[0], *model[1:]
        print(f"{name:20}", *(f"{number:12.4g}" for number in row))


if __name__ == "__main__":
    if len(sys.argv) == 2 and Path(sys.argv[1]).is_dir():
        print(json.dumps(measure(Path(sys.argv[1]))))
    else:
        recording(main, __file__)
