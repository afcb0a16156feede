"""A person's table of costs (CSV, TOML) -> what each answer costs where each class is true.

A table has the columns label, cost and, if it likes, answer; a TOML file has one entry a class::

    label,answer,cost          "*" = 1
    *,,1                       lynx = 20
    lynx,,20                   boar = {deer = 3}
    boar,deer,3

The more exact entry counts: a class and an answer, then a class, then ``*`` (every class). What
nobody names costs 1, and a right answer costs nothing. Knows nothing of probabilities.
"""

import math
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.listing_tables import read_table
from bestiary.errors import ArgumentError
from bestiary.evaluation.class_map import alike
from bestiary.regular_files import MAX_CSV_BYTES, read_regular

EVERY = "*"
MAX_COST = 1e9
Entry = tuple[str, str, Any]  # true class, answer or empty, cost


def read_costs(file: Path, classes: Sequence[str]) -> NDArray[np.float64]:
    """Read the costs of a run's classes.

    Args:
        file: a .toml file, or a table (.csv, .tsv, .parquet).
        classes: of the run, in the order of its outputs.

    Returns:
        Costs (true classes, answers), 0 on the diagonal.

    Raises:
        ArgumentError: there is no such file, it names what the run has not, or a cost is no number
            from 0 to a billion.
        DataError: the table cannot be read.
    """
    if not file.is_file():
        raise ArgumentError(f"--costs {file}: no such file; give a .csv or .toml file of costs")
    entries = list(_toml_entries(file) if file.suffix.lower() == ".toml" else _rows(file))
    if not entries:
        raise ArgumentError(f"--costs {file}: names no cost; add a line such as lynx,20")
    numbers = {name: number for number, name in enumerate(classes)}
    costs = np.ones((len(classes), len(classes)))
    named: set[tuple[str, str]] = set()
    for label, answer, cost in sorted(entries, key=_exactness):
        if (label, answer) in named:
            raise ArgumentError(f"--costs {file}: names {label!r} twice; keep one of the lines")
        named.add((label, answer))
        rows = slice(None) if label == EVERY else _number(file, label, numbers)
        columns = _number(file, answer, numbers) if answer else slice(None)
        costs[rows, columns] = _checked(file, label, cost)
    np.fill_diagonal(costs, 0.0)
    return costs


def _exactness(entry: Entry) -> int:
    """Sort exact entries last, so that they overwrite the others."""
    label, answer, _ = entry
    return int(bool(answer)) + 2 * (label != EVERY)


def _number(file: Path, name: str, numbers: dict[str, int]) -> int:
    if name in numbers:
        return numbers[name]
    near = alike(name, numbers)
    remedy = f"did you mean {near!r}?" if near else f"choose of {', '.join(list(numbers)[:12])}"
    raise ArgumentError(f"--costs {file}: the run has no class {name!r:.80}; {remedy}")


def _checked(file: Path, label: str, cost: Any) -> float:
    try:
        number = float(cost)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(cost, bool) or not 0 <= number <= MAX_COST:
        raise ArgumentError(
            f"--costs {file}: the cost of {label!r:.80} is {cost!r:.40}; give a number from 0 to "
            f"{MAX_COST:,.0f}, such as 20"
        )
    return number


def _rows(file: Path) -> Iterator[Entry]:
    table = read_table(file)
    if not {"label", "cost"} <= set(table.columns):
        raise ArgumentError(
            f"--costs {file}: has the columns {', '.join(table.columns[:8])}; it needs label and "
            "cost, and may have answer"
        )
    if "answer" not in table.columns:
        table = table.with_columns(answer=pl.lit(""))
    text = table.select(pl.col("label", "answer", "cost").cast(pl.String).str.strip_chars())
    yield from text.fill_null("").iter_rows()


def _toml_entries(file: Path) -> Iterator[Entry]:
    try:
        content = tomllib.loads(read_regular(file, MAX_CSV_BYTES).decode("utf-8"))
    except (OSError, ValueError) as error:  # a TOML error is a ValueError
        raise ArgumentError(f"--costs {file}: is no readable TOML file ({error})") from None
    for label, cost in content.items():
        if isinstance(cost, dict):
            yield from ((label, answer, one) for answer, one in cost.items())
        else:
            yield label, "", cost
