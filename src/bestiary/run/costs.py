"""TODO run.costs"""

from pathlib import Path

import polars as pl

from bestiary.run.layout import FoldFiles
from bestiary.run.tables import read_table

COST_SCHEMA = {
    "started": pl.String,  # UTC, ISO 8601
    "seconds": pl.Float64,
    "device": pl.String,
    "threads": pl.Int64,
    "peak_memory_mb": pl.Float64,  # of the process so far; on a GPU the GPU's
    # of the processor package, other work on it included; null where it cannot be read
    "energy_wh": pl.Float64,
}


def read_costs(folds: list[FoldFiles]) -> pl.DataFrame:
    """The rows of all folds' costs.csv, those there are."""
    files = [files.costs for files in folds if files.costs.exists()]
    return pl.concat([pl.DataFrame(schema=COST_SCHEMA), *(read_cost_file(file) for file in files)])


def read_cost_file(file: Path) -> pl.DataFrame:
    return read_table(file, COST_SCHEMA).select(list(COST_SCHEMA))
