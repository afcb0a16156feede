"""A run -> what it cost, as far as it was written down: rows of (what, how much)."""

import numpy as np

from bestiary.display import clock
from bestiary.evaluation.results import Results
from bestiary.run.costs import read_costs


def cost_rows(results: Results) -> list[tuple[str, str]]:
    """What training took; what nobody measured has no row."""
    histories = [history for history in results.histories.values() if history.height]
    rows = []
    if histories:
        seconds = sum(float(history["seconds"].sum()) for history in histories)
        speed = [float(np.median(history["images_per_second"].to_numpy())) for history in histories]
        rows += [
            ("Epochs, all folds", clock(seconds)),
            (
                "Training speed",
                f"{min(speed):.0f} to {max(speed):.0f} images/s (medians of the folds)",
            ),
        ]
    costs = read_costs([results.run.fold(fold) for fold in results.run.fold_numbers()])
    if costs.is_empty():
        return rows
    devices = ", ".join(
        sorted({f"{d} ({t} threads)" for d, t in costs.select("device", "threads").iter_rows()})
    )
    rows += [
        ("Folds, all that belongs to them", clock(float(costs["seconds"].sum()))),
        ("Device", devices),
    ]
    memory, energy = costs["peak_memory_mb"].drop_nulls(), costs["energy_wh"]
    if len(memory):
        rows.append(("Peak memory", f"{float(memory.to_numpy().max()):,.0f} MB"))
    if energy.null_count() == 0:
        rows.append(
            ("Energy of the processor", f"{float(energy.sum()):.1f} Wh, other work on it included")
        )
    else:
        rows.append(("Energy", "not measured: this machine's counters could not be read"))
    return rows
