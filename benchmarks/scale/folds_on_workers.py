"""Claim: k folds on n Ray workers take at most 1 / 0.9 of k / n folds of a minute or longer.

    python benchmarks/scale/folds_on_workers.py [SECONDS_OF_A_FOLD]

Measured on this machine's two cores: four folds of one thread each, in one process one after the
other, and by Ray with two workers, on a running cluster and on one started for the command. From
that: the cost of a job besides its training, and the time that starting a cluster adds. Simulated
beyond the cores: k jobs of a minute with the measured cost, handed out by Ray's rule (a free worker
takes the next) to n workers; compared with k / n, and with the best that whole folds allow, which
is ceil(k / n).
"""

import heapq
import math
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import ray

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "folds-on-workers": {
        "statement": "Folds on several workers take little more than whole folds must",
        "unit": "of what whole folds allow",
        "bar": ("least", 0.9, "for folds of a minute or longer; simulated from measured costs"),
        "watches": ("src/bestiary/cluster/*.py",),
    },
    "folds-on-two-workers": {
        "statement": "Two workers train four folds sooner than one process",
        "unit": "s",
        "watches": ("src/bestiary/cluster/*.py",),
    },
}
COMMANDS = ("",)


FOLDS = 4
OPTIONS = [
    "train.threads=1",
    "train.precision=float32",
    "train.layout=contiguous",
    "train.compile=never",
]


def options(epochs: int) -> list[str]:
    return [
        *OPTIONS,
        "view.size=96",
        f"train.epochs={epochs}",
        "train.batch_size=16",
        "model.head=random",
    ]


def busy_seconds(run: Run) -> float:
    return sum(pl.read_csv(run.fold(fold).costs)["seconds"].sum() for fold in run.fold_numbers())


def train(data: Path, place: Path, epochs: int, on: str | None) -> tuple[float, Run]:
    started = time.perf_counter()
    run = bestiary.train(
        data, place, overrides=options(epochs), folds=FOLDS, cluster=on, quiet=True
    )
    return time.perf_counter() - started, run


def simulated(folds: int, workers: int, seconds: float, cost: float, start: float) -> float:
    """Seconds until the last of `folds` jobs ends."""
    free = [start] * workers
    for _ in range(folds):
        heapq.heappush(free, heapq.heappop(free) + seconds + cost)
    return max(free)


def main() -> None:
    fold_seconds_wanted = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["BESTIARY_CACHE"] = str(place / "cache")
        data = place / "images"
        draw_sample(data, species=8, per_species=40, size=128)
        _, probe = train(data, place / "probe", 1, None)
        epochs = max(1, round(fold_seconds_wanted * FOLDS / busy_seconds(probe)))
        one_process, local = train(data, place / "local", epochs, None)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        started, first = train(data, place / "ray", epochs, "ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        two_workers, spread = train(data, place / "again", epochs, "ray")
        ray.shutdown()
        fold_one_process = busy_seconds(local) / FOLDS
        fold_two_workers = busy_seconds(spread) / FOLDS
        weights = [
            [run.fold(n).weights.read_bytes() for n in run.fold_numbers()]
            for run in (local, first, spread)
        ]
        fold_new_cluster = busy_seconds(first) / FOLDS
    cost = two_workers / (FOLDS / 2) - fold_two_workers
    # Without the difference in time between the folds themselves.
    start = started - two_workers - (fold_new_cluster - fold_two_workers) * FOLDS / 2
    print(f"the same bits: {weights[0] == weights[1] == weights[2]}")
    print(f"started for the command: {started:.1f} s, {start:.1f} s of that to start the cluster")
    print(
        f"a fold: {fold_one_process:.1f} s alone, {fold_two_workers:.1f} s with another; "
        f"a job costs "
        f"{cost:.1f} s more"
    )
    print(f"{FOLDS} folds: {one_process:.1f} s by one process, {two_workers:.1f} s by two workers")
    ideal = fold_two_workers * FOLDS / 2
    print(
        f"ideal / measured: {ideal / two_workers:.3f}; "
        f"with the start of the cluster: {ideal / started:.3f} (n = 1)"
    )
    record(
        "folds-on-two-workers",
        {"one process": one_process, "two workers": two_workers},
        1,
        "runs",
        details={
            "s": {"a job, besides its training": cost, "start of a cluster": start},
            "the same bits": float(weights[0] == weights[1] == weights[2]),
        },
    )
    for cluster, start_seconds in (("started for the command", start), ("already running", 0.0)):
        print(
            f"simulated, a cluster {cluster}, folds of 60 s and of 600 s: share of k / n reached, "
            f"and of ceil(k / n)"
        )
        shares: dict[str, list[float]] = {"folds of 60 s": [], "folds of 600 s": []}
        for folds, workers in (
            (5, 1),
            (4, 2),
            (5, 2),
            (5, 5),
            (10, 5),
            (10, 10),
            (100, 16),
            (100, 64),
        ):
            row = []
            for seconds in (60.0, 600.0):
                simulated_seconds = simulated(folds, workers, seconds, cost, start_seconds)
                allowed = seconds * math.ceil(folds / workers)
                shares[f"folds of {seconds:.0f} s"].append(allowed / simulated_seconds)
                row.append(
                    f"{seconds * folds / workers / simulated_seconds:.3f} "
                    f"{seconds * math.ceil(folds / workers) / simulated_seconds:.3f}"
                )
            print(f"  k = {folds}, n = {workers}: {'; '.join(row)}")
        worst = {name: (min(of), min(of), max(of)) for name, of in shares.items()}
        note = "The least of eight numbers of folds and workers is judged."
        record("folds-on-workers", worst, 1, "runs", case=cluster, note=note)


if __name__ == "__main__":
    recording(main, __file__)
