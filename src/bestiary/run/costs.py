"""Read costs.csv: seconds, device, memory and energy of each training session of a fold."""

from pathlib import Path

import polars as pl

from bestiary.run.layout import FoldFiles
from bestiary.run.tables import read_table

COST_SCHEMA = {
    "started": pl.String,  # UTC, ISO 8601
    "seconds": pl.Float64,
    "device": pl.String,
    "threads": pl.Int64,
    # The process's resident memory, highest so far, or on a GPU the fold's peak of its memory.
    "peak_memory_mb": pl.Float64,
    # Of the processor package, and of the GPU where one computes, other programs included; null
    # where one of them cannot be read.
    "energy_wh": pl.Float64,
}


def read_costs(folds: list[FoldFiles]) -> pl.DataFrame:
    """Read the costs of several folds; folds without a costs.csv add no rows.

    Raises:
        DamagedError: a file is not a table of costs.
    """
    tables = [pl.DataFrame(schema=COST_SCHEMA)]
    for files in folds:
        if files.costs.exists():
            tables.append(read_cost_file(files.costs))
    return pl.concat(tables)


def read_cost_file(file: Path) -> pl.DataFrame:
    """Read one costs.csv.

    Raises:
        DamagedError: the file is not a table of costs.
    """
    return read_table(file, COST_SCHEMA).select(list(COST_SCHEMA))
