"""Claim: manifest, near-duplicate groups and folds of 10^6 rows take <= 90 s and <= 2 GB.

Time grows as n to the power of at most 1.2.

    python benchmarks/scale/million_rows.py [ROWS ...]

There are no images: the hashes are random, a fifth of them copies that differ from their original
in up to 10 of 64 bits. Instead of the pixel check, pairs that differ in up to 10 bits are linked.
Prints the seconds of each part, the peak memory, and the share of planted pairs found, by differing
bits. Each size runs in a process of its own.
"""

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from bestiary.data.components import components
from bestiary.data.folds import assign_folds, join_groups
from bestiary.data.near_duplicates.candidates import candidate_pairs
from bestiary.data.near_duplicates.views import N_VIEWS
from bestiary.run.tables import write_table

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "million-rows": {
        "statement": "Grouping and folds of a million images take little time",
        "unit": "s",
        "watches": (
            "src/bestiary/data/near_duplicates/candidates.py",
            "src/bestiary/data/components.py",
            "src/bestiary/data/folds.py",
        ),
    },
    "million-rows-growth": {
        "statement": "The cost of grouping grows less than the rows",
        "unit": "power of the number of rows",
        "watches": (
            "src/bestiary/data/near_duplicates/candidates.py",
            "src/bestiary/data/components.py",
            "src/bestiary/data/folds.py",
        ),
    },
}
COMMANDS = ("",)


FOLDS = 5
DIFFERING = 10  # bits


def draw_hashes(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw hashes; the last fifth are copies of the first.

    Returns:
        Hashes (rows, windows), and the number of bits in which each copy differs.
    """
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 64, (rows, N_VIEWS), dtype=np.uint64)
    copies = rows // 5
    distance = rng.integers(0, DIFFERING + 1, copies)
    bits = rng.permuted(np.tile(np.arange(64), (copies, 1)), axis=1) < distance[:, None]
    flips = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    hashes[rows - copies :, 0] = hashes[:copies, 0] ^ flips
    return hashes, distance


def measure(rows: int) -> float:
    hashes, distance = draw_hashes(rows)
    started = time.perf_counter()
    cpu_started = time.process_time()
    pairs = candidate_pairs(hashes)
    group = components(pairs[pairs[:, 4] <= DIFFERING, :2], rows)
    grouped = time.perf_counter()
    numbers = pl.int_range(rows, eager=True)
    table = pl.DataFrame(
        {
            "path": numbers.cast(pl.String),
            "label": (numbers % 100).cast(pl.String),
            "group": pl.Series([None] * rows, dtype=pl.String),
            "sha256": numbers.hash(0).cast(pl.String),
            "duplicate_group": pl.Series(group).cast(pl.String),
        }
    ).sort("path")
    with tempfile.TemporaryDirectory() as place:
        write_table(Path(place) / "manifest.parquet", table)
        table = pl.read_parquet(Path(place) / "manifest.parquet")
    written = time.perf_counter()
    joined = join_groups(table["group"], table["sha256"], table["duplicate_group"])
    folds = assign_folds(table["path"], table["label"], joined, FOLDS, 0)
    ended = time.perf_counter()
    originals = np.arange(len(distance))
    copies = np.arange(rows - len(distance), rows)
    found = group[originals] == group[copies]
    shares = ", ".join(
        f"{bits}: {found[distance == bits].mean():.3f}" for bits in range(0, DIFFERING + 1, 2)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{rows:,} rows: hash groups {grouped - started:.1f} s, manifest {written - grouped:.1f} "
        f"s, folds "
        f"{ended - written:.1f} s, together {ended - started:.1f} s "
        f"({time.process_time() - cpu_started:.1f} s of work, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores); peak {peak:.2f} GB; fold sizes "
        f"{np.bincount(folds).tolist()}; planted pairs found, by differing bits: {shares}",
        flush=True,
    )
    return ended - started


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    seconds = []
    for rows in sizes:
        done = subprocess.run(
            [sys.executable, __file__, str(rows)], capture_output=True, text=True, check=True
        )
        *lines, last = done.stdout.splitlines()
        print("\n".join(lines), flush=True)
        seconds.append(float(last))
    growth = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
    times = {f"{rows:,} rows": of for rows, of in zip(sizes, seconds, strict=True)}
    record("million-rows", times, 1, "runs")
    record("million-rows-growth", growth, 1, "runs")
    print(f"from {sizes[0]:,} to {sizes[-1]:,} rows the cost grows as n to {growth:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(measure(int(sys.argv[1])))
    else:
        recording(main, __file__)
