"""Rows of an ablation -> a table for the screen, CSV, Markdown and the page of `compare`.

Scores nothing itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.atomic import write_text
from bestiary.display import ScreenTable, format_table
from bestiary.evaluation.ablation import AblationRow
from bestiary.evaluation.compare import compare_runs
from bestiary.printable import printable_name
from bestiary.reporting.compare_page import write_comparison
from bestiary.reporting.markdown import markdown_table
from bestiary.reporting.sections import Table
from bestiary.run.costs import read_costs
from bestiary.run.layout import ABLATION_TABLE, ABLATION_TEXT
from bestiary.run.run import Run
from bestiary.run.tables import write_table

HEAD = ("variant", "accuracy", "difference", "95 % interval", "p", "minutes")
SCREEN_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Ablation:
    """The rows that `ablate` prints.

    Attributes:
        rows: every variant, the base first, once for each way of evaluation.
        minutes: variant -> training time of a seed, all folds together.
        files: the files written.
    """

    rows: list[AblationRow]
    minutes: dict[str, float]
    files: list[Path]

    def __str__(self) -> str:
        blocks = []
        for rows in _by_evaluation(self.rows):
            table = _screen_table(table_of(rows, self.minutes))
            blocks += [caption(rows, SCREEN_WIDTH), "", format_table(table), ""]
        return "\n".join([*blocks, *map(printable_name, self.files)])


def _by_evaluation(rows: Sequence[AblationRow]) -> Iterator[list[AblationRow]]:
    """The rows of each way of evaluation: out of fold, held out."""
    for evaluated_on in dict.fromkeys(row.evaluated_on for row in rows):
        yield [row for row in rows if row.evaluated_on == evaluated_on]


def _screen_table(table: Table) -> ScreenTable:
    screen = ScreenTable()
    for name in table.head:
        screen.add_column(
            name,
            justify="left" if name == "variant" else "right",
            no_wrap=name != "variant",
            overflow="fold",
        )
    for cells in table.rows:
        screen.add_row(*cells)
    return screen


def table_of(rows: Sequence[AblationRow], minutes: Mapping[str, float]) -> Table:
    """Format the rows of one way of evaluation.

    Args:
        rows: the rows.
        minutes: variant -> training time of a seed.

    Returns:
        One row a variant.
    """
    cells: list[tuple[str, ...]] = []
    for row in rows:
        time = f"{minutes[row.variant]:.1f}"
        cells.append((row.variant, f"{row.accuracy:.4f}", *_difference_cells(row), time))
    return Table(HEAD, cells)


def _difference_cells(row: AblationRow) -> tuple[str, str, str]:
    difference = row.difference
    if difference is None:
        return "", "", ""
    return (
        f"{difference.value:+.4f}",
        f"{difference.low:+.4f} to {difference.high:+.4f}",
        f"{difference.p:.3f}" if difference.p >= 0.001 else "<0.001",
    )


def caption(rows: Sequence[AblationRow], width: int = 0) -> str:
    """Explain what a table of rows shows.

    Args:
        rows: rows of one way of evaluation.
        width: 0 for one line; else one line for each part.

    Returns:
        The caption.
    """
    first = rows[0]
    if first.evaluated_on == "out of fold":
        members = "each by the member that was not trained on it"
    else:
        members = "held out, by the ensembles of all members"
    if first.seeds > 1:
        seeds = f"means of {first.seeds} seeds; the intervals include their spread"
    else:
        seeds = "one seed: the intervals cover chance among images, not among trainings"
    lines = [f"{first.images:,} images, {members};", f"{seeds}."]
    return ("\n" if width else " ").join(lines)


def write_ablation(
    rows: list[AblationRow], runs: Mapping[str, Sequence[Run]], folder: Path
) -> Ablation:
    """Write ablation.csv, ablation.md and the comparison of the first seed's runs.

    Args:
        rows: every variant, the base first, once for each way of evaluation.
        runs: variant -> its runs, one a seed.
        folder: the folder to write into.

    Returns:
        The rows and the files.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    minutes = {variant: _mean_minutes(seeds) for variant, seeds in runs.items()}
    _write_rows(rows, minutes, folder / ABLATION_TABLE)
    _write_summary(rows, minutes, folder / ABLATION_TEXT)
    files = [folder / ABLATION_TABLE, folder / ABLATION_TEXT]
    # Variants that share their runs are compared once.
    first_seeds: dict[Path, str] = {}
    for variant, seeds in runs.items():
        first_seeds.setdefault(seeds[0].path, variant)
    if len(first_seeds) > 1:
        comparison = compare_runs([Run(path) for path in first_seeds], list(first_seeds.values()))
        files += write_comparison(comparison, folder).files
    return Ablation(rows, minutes, files)


def _write_rows(rows: list[AblationRow], minutes: Mapping[str, float], file: Path) -> None:
    table = pl.DataFrame([row.to_dict() for row in rows], infer_schema_length=None)
    time = pl.col("variant").replace_strict(minutes, return_dtype=pl.Float64)
    write_table(file, table.with_columns(time.alias("minutes")))


def _write_summary(rows: list[AblationRow], minutes: Mapping[str, float], file: Path) -> None:
    blocks = []
    for part in _by_evaluation(rows):
        table = markdown_table(table_of(part, minutes))
        blocks += [table, "", f"{caption(part)} Differences are from the first row.", ""]
    write_text(file, "\n".join(blocks))


def _mean_minutes(runs: Sequence[Run]) -> float:
    """Mean training time of the runs, all folds together."""
    seconds = []
    for run in runs:
        costs = read_costs([run.fold(fold) for fold in run.fold_numbers()])
        seconds.append(float(costs["seconds"].sum()))
    return sum(seconds) / len(seconds) / 60
