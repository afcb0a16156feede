"""Run -> the cost of its training: time, speed, device, peak memory and energy, as table rows."""

import numpy as np
import polars as pl

from bestiary.evaluation.results import Results
from bestiary.numbers import count, duration
from bestiary.run.costs import read_costs

CostRows = list[tuple[str, str]]


def cost_rows(results: Results) -> CostRows:
    """List what training cost.

    Args:
        results: the results of a run.

    Returns:
        Rows of (what, how much); what was not measured has no row.
    """
    rows = _speed_rows(results)
    folds = [results.run.fold(fold) for fold in results.snapshot.folds]
    costs = read_costs(folds)
    if not costs.is_empty():
        known = sum(files.costs.exists() for files in folds)
        rows += _device_rows(costs, _of_folds(known, len(folds)))
        rows.append(_energy_row(costs))
    return rows


def _speed_rows(results: Results) -> CostRows:
    histories = [history for history in results.histories.values() if history.height]
    if not histories:
        return []
    seconds = sum(float(history["seconds"].sum()) for history in histories)
    speeds = [float(np.median(history["images_per_second"].to_numpy())) for history in histories]
    low, high = f"{min(speeds):.0f}", f"{max(speeds):.0f}"
    speed = f"{low if low == high else f'{low} to {high}'} images/s (medians of the folds)"
    folds = _of_folds(len(histories), len(results.histories))
    return [(f"Epochs, {folds}", duration(seconds)), ("Training speed", speed)]


def _of_folds(known: int, folds: int) -> str:
    """Say how many folds a sum has: a file that somebody removed must not make it look small."""
    return "all folds" if known == folds else f"{known} of {folds} folds, the rest unknown"


def _device_rows(costs: pl.DataFrame, folds: str) -> CostRows:
    pairs = costs.select("device", "threads").iter_rows()
    devices = sorted({f"{device}, {count(threads, 'thread')}" for device, threads in pairs})
    rows = [
        (f"Training time, {folds}", duration(float(costs["seconds"].sum()))),
        ("Device", ", ".join(devices)),
    ]
    memory = costs["peak_memory_mb"].drop_nulls()
    if len(memory):
        rows.append(("Peak memory", f"{float(memory.to_numpy().max()):,.0f} MB"))
    return rows


def _energy_row(costs: pl.DataFrame) -> tuple[str, str]:
    energy = costs["energy_wh"]
    if energy.null_count():
        return "Energy", "not measured: this machine's energy counters cannot be read"
    has_gpu = set(costs["device"]) != {"cpu"}
    name = "Energy of processor and GPU" if has_gpu else "Processor energy"
    return name, f"{float(energy.sum()):.1f} Wh, including other work on the machine"
