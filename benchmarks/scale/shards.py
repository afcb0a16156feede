"""Claim: shards give >= 0.95 of a folder's throughput; memory is flat from 10^4 to 10^6 rows.

    python benchmarks/scale/shards.py [DATA]

Throughput: an epoch of training batches (JPEGs decoded, random views of 224 pixels), from the
folder and from its shards in turns, all in the page cache; images a second and the ratio within
each round. Without DATA, on drawn beasts. Memory: an index of many rows that all point at the
images of one real shard. A process opens it, draws an epoch's order and reads 5,000 images. Its
peak resident memory is compared with that of a process that only loads the paths, as any training
on so many images does.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.epoch_order import window_order
from bestiary.data.loader import split_batches
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run
from bestiary.storage.shards import INDEX, INDEX_ROWS, INDEX_SCHEMA, ShardFolder, shard_name
from bestiary.training.dataset import TrainingSet
from bestiary.training.epoch_rows import epoch_rows
from bestiary.training.prepare import begin_run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import peak_megabytes
from harness.record import record, recording

CLAIMS = {
    "shards-throughput": {
        "statement": "An epoch of views from shards is as fast as from a folder",
        "unit": "of the folder's speed",
        "bar": ("least", 0.95, "shards are for stores that have no folders"),
        "watches": (
            "src/bestiary/storage/shards.py",
            "src/bestiary/data/epoch_order.py",
        ),
    },
    "shards-memory": {
        "statement": "The memory of reading from shards, by the rows of their index",
        "unit": "MB",
        "watches": ("src/bestiary/storage/shards.py",),
    },
}
COMMANDS = ("{data}",)


ROUNDS = 5
READ = 5_000


def training_set(data: Path, place: Path) -> TrainingSet:
    run = Run(place)
    begin_run(data, run, load_recipe("fast", ["data.store=false"]), None, Display(quiet=True))
    return TrainingSet.of(
        run.read_recipe(),
        run.read_table("manifest.parquet"),
        run.read_root(),
        run.read_table("folds.parquet"),
    )


def epoch_speed(data: TrainingSet, epoch: int) -> float:
    rows, _ = data.rows(0)
    started = time.perf_counter()
    batches = split_batches(epoch_rows(data, rows, 0, epoch), 32)
    for _ in data.training_batches(batches, 0, epoch, torch.device("cpu")):
        pass
    return len(rows) / (time.perf_counter() - started)


def throughput(data: Path, place: Path) -> None:
    bestiary.shard(data, place / "shards", megabytes=32, quiet=True)
    contenders = {
        "folder": training_set(data, place / "a"),
        "shards": training_set(place / "shards", place / "b"),
    }
    for contender in contenders.values():
        epoch_speed(contender, 0)
    ratios = []
    speeds = {name: [] for name in contenders}
    for epoch in range(1, ROUNDS + 1):
        for name in list(contenders) if epoch % 2 else reversed(list(contenders)):
            speeds[name].append(epoch_speed(contenders[name], epoch))
        ratios.append(speeds["shards"][-1] / speeds["folder"][-1])
    for name, megabytes in speeds.items():
        print(
            f"{name}: {statistics.median(megabytes):,.0f} images/s ({min(megabytes):,.0f} to "
            f"{max(megabytes):,.0f})"
        )
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    record("shards-throughput", ratios, ROUNDS, "rounds", details={"images/s": speeds})
    print(f"shards / folder: {statistics.median(ratios):.3f} ({spread}), n = {ROUNDS} rounds")


def read_paths(place: str) -> pl.Series:
    return pl.read_parquet(Path(place) / INDEX, columns=["path"])["path"]


def read_images(place: str) -> None:
    paths = read_paths(place)
    folder = ShardFolder(place)
    shards = folder.shards_of(paths)
    order = window_order(shards, 10_000, 0, 0, 0)
    folder.prefetch(shards[order])
    for row in order[:READ].tolist():
        (folder / paths[row]).read_bytes()


def peak(step: str, folder: Path) -> float:
    child = [sys.executable, __file__, step, str(folder)]
    return float(subprocess.run(child, capture_output=True, text=True, check=True).stdout)


def memory(place: Path) -> None:
    real = pl.read_parquet(place / "shards" / INDEX).filter(pl.col("shard") == 0)
    megabytes: dict[int, tuple[float, float]] = {}
    for rows in (10_000, 100_000, 1_000_000):
        folder = place / f"rows-{rows}"
        folder.mkdir()
        shard_rows = 10_000  # images a shard
        repeated = real[np.arange(rows) % real.height]
        paths = pl.Series("path", [f"class-{n % 100:03d}/image-{n:09d}.jpg" for n in range(rows)])
        table = repeated.with_columns(paths, pl.Series("shard", np.arange(rows) // shard_rows))
        table = table.select(pl.col(name).cast(kind) for name, kind in INDEX_SCHEMA.items())
        table.sort("path").write_parquet(
            folder / INDEX, row_group_size=INDEX_ROWS
        )  # as `shard` writes it
        for number in range(-(-rows // shard_rows)):
            os.link(place / "shards" / shard_name(0), folder / shard_name(number))
        megabytes[rows] = peak("--paths", folder), peak("--read", folder)
    for rows, (paths, reading) in megabytes.items():
        print(
            f"{rows:>9,} rows: {reading:,.0f} MB, {reading - paths:,.0f} MB more than a process "
            f"that only loads the paths"
        )
    reading = {f"{rows:,} rows": of for rows, (_, of) in megabytes.items()}
    alone = {f"{rows:,} rows": of for rows, (of, _) in megabytes.items()}
    details = {"MB, of the paths alone": alone}
    record("shards-memory", reading, 1, "processes", details=details)
    most = megabytes[1_000_000]
    least = megabytes[10_000]
    print(
        f"10^6 / 10^4 rows: {most[1] / least[1]:.3f}; of the paths alone {most[0] / least[0]:.3f} "
        f"(n = 1)"
    )


STEPS = {"--paths": read_paths, "--read": read_images}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        data = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else place / "drawn"
        if len(sys.argv) == 1:
            draw_sample(data, species=20, per_species=60, size=400)
        throughput(data, place)
        memory(place)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in STEPS:
        STEPS[sys.argv[1]](sys.argv[2])
        print(peak_megabytes())
    else:
        recording(main, __file__)
