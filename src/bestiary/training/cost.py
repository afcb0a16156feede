"""Work under way -> what it cost: time, peak memory, energy where the machine can be asked."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import torch

from bestiary.errors import DamagedError
from bestiary.model.compute import best_device
from bestiary.run.costs import COST_SCHEMA, read_cost_file
from bestiary.run.layout import FoldFiles
from bestiary.run.tables import write_table

COUNTERS = Path("/sys/class/powercap")  # Linux; often for the administrator only


@contextmanager
def measured(files: FoldFiles) -> Iterator[None]:
    """Add a row to the fold's costs.csv for the work inside, however often the fold is gone on
    with.
    """
    device, began = best_device(), read_energy(COUNTERS)
    started, clock = datetime.now(UTC), time.perf_counter()
    yield
    seconds, ended = time.perf_counter() - clock, read_energy(COUNTERS)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    energy = None if began is None or ended is None or ended < began else (ended - began) / 3.6e9
    row = (
        started.isoformat(timespec="seconds"),
        seconds,
        name,
        torch.get_num_threads(),
        peak_memory(device),
        energy,
    )
    before = []
    if files.costs.exists():
        with suppress(DamagedError):  # what is lost then is no more than what former work has cost
            before = [read_cost_file(files.costs)]
    write_table(
        files.costs, pl.concat([*before, pl.DataFrame([row], schema=COST_SCHEMA, orient="row")])
    )


def read_energy(counters: Path) -> float | None:
    """Microjoules that the processor packages have used, by the kernel's counters; None where they
    cannot be read.

    A counter begins anew now and then; the caller must expect less than before.
    """
    try:
        values = [float(path.read_text()) for path in sorted(counters.glob("*-rapl:?/energy_uj"))]
    except (OSError, ValueError):
        return None
    return sum(values) if values else None


def peak_memory(device: torch.device) -> float | None:
    """Megabytes at most so far; None where the system does not keep it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with suppress(
        OSError, IndexError
    ):  # ru_maxrss begins with what the process that started this one had taken
        return 1.024e-3 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
