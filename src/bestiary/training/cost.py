"""Training cost: a block of work -> a line of costs.csv with time, peak memory and energy.

Energy is read from the processor's counters (RAPL), and on a GPU from the GPU's too. It is left
empty where one of them cannot be read: a part of the energy would look like all of it. Knows
nothing of what the work is.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import torch

from bestiary.errors import DamagedError
from bestiary.model.device import best_device
from bestiary.run.costs import COST_SCHEMA, read_cost_file
from bestiary.run.layout import FoldFiles
from bestiary.run.tables import write_table
from bestiary.training.gpu_energy import read_gpu_energy

COUNTERS = Path("/sys/class/powercap")  # Linux; often readable by the administrator only
MICROJOULES_PER_WH = 3.6e9


@contextmanager
def record_cost(files: FoldFiles) -> Iterator[None]:
    """Append the cost of the work inside the block to a fold's costs.csv.

    A fold that is resumed gets one line for each time it was trained. Work that fails is not
    recorded.

    Args:
        files: of the fold.
    """
    device = best_device()
    if device.type == "cuda":
        # Else the peak would be that of autotuning, or of the folds before.
        torch.cuda.reset_peak_memory_stats(device)
    energy_before = _energy_counters(device)
    started = datetime.now(UTC)
    clock = time.perf_counter()
    yield
    seconds = time.perf_counter() - clock
    energy_after = _energy_counters(device)
    cost = (
        started.isoformat(timespec="seconds"),
        seconds,
        _accelerator_name(device),
        torch.get_num_threads(),
        peak_memory(device),
        _watt_hours(energy_before, energy_after),
    )
    _append_cost(files.costs, cost)


def _append_cost(file: Path, cost: tuple[object, ...]) -> None:
    new_line = pl.DataFrame([cost], schema=COST_SCHEMA, orient="row")
    tables = [new_line]
    if file.exists():
        # A damaged file loses the costs of earlier work, nothing else.
        with suppress(DamagedError):
            tables.insert(0, read_cost_file(file))
    write_table(file, pl.concat(tables))


def _accelerator_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def _energy_counters(device: torch.device) -> list[float | None]:
    """Read the counters of everything that computes, microjoules; None: it cannot be read."""
    counters = [read_energy(COUNTERS)]
    if device.type == "cuda":
        counters.append(read_gpu_energy(device))
    return counters


def _watt_hours(before: list[float | None], after: list[float | None]) -> float | None:
    """Add up what the counters have advanced, in Wh; None if one has no valid difference."""
    microjoules = 0.0
    for start, end in zip(before, after, strict=True):
        if start is None or end is None or end < start:
            return None
        microjoules += end - start
    return microjoules / MICROJOULES_PER_WH


def read_energy(counters: Path) -> float | None:
    """Read the energy that the processor packages have used, from the kernel's counters.

    A counter wraps around to zero now and then, so a later reading may be lower.

    Args:
        counters: the folder of the kernel's power capping interface.

    Returns:
        Microjoules, summed over packages; None if the counters cannot be read.
    """
    try:
        paths = sorted(counters.glob("*-rapl:?/energy_uj"))
        values = [float(path.read_text()) for path in paths]
    except (OSError, ValueError):
        return None
    return sum(values) if values else None


def peak_memory(device: torch.device) -> float | None:
    """Read the peak memory of this process so far, or on a GPU since `record_cost` began.

    Args:
        device: for a GPU, the memory of the GPU; else the main memory.

    Returns:
        Megabytes; None if the system does not record it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    # Linux: ru_maxrss would start with the peak of the parent process.
    with suppress(OSError, IndexError):
        status = Path("/proc/self/status").read_text()
        return 1.024e-3 * int(status.split("VmHWM:")[1].split()[0])
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, other systems KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
