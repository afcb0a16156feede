"""Rows of an ablation -> a table for the screen, CSV, Markdown and the page of `compare`.

Scores nothing itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.atomic import write_text
from bestiary.evaluation.ablation import AblationRow
from bestiary.evaluation.compare import compare_runs
from bestiary.evaluation.results import read_histories
from bestiary.numbers import counted, percent, points, points_range
from bestiary.printable import printable_name
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.differences import difference_chart
from bestiary.reporting.compare_page import p_value, write_comparison
from bestiary.reporting.markdown import markdown_table
from bestiary.reporting.sections import Table
from bestiary.run.layout import ABLATION_TABLE, ABLATION_TEXT
from bestiary.run.run import Run
from bestiary.run.tables import write_table
from bestiary.screen_table import ScreenTable
from bestiary.streams import screen_width

HEAD = ("variant", "accuracy", "difference, points", "95 % interval", "p", "minutes")


@dataclass(frozen=True, slots=True)
class Ablation:
    """The rows that `ablate` prints.

    Attributes:
        rows: every variant, the base first, once for each way of evaluation.
        minutes: variant -> time of all epochs of a seed; None where only a head is fitted.
        files: the files written.
    """

    rows: list[AblationRow]
    minutes: dict[str, float | None]
    files: list[Path]

    def __str__(self) -> str:
        blocks = []
        for rows in _by_evaluation(self.rows):
            table = table_of(rows, self.minutes)
            screen = ScreenTable(*table.head)
            for cells in table.rows:
                screen.add_row(*cells)
            blocks += [caption(rows, screen_width()), "", str(screen), ""]
        return "\n".join([*blocks, *map(printable_name, self.files)])


def _by_evaluation(rows: Sequence[AblationRow]) -> Iterator[list[AblationRow]]:
    """The rows of each way of evaluation: out of fold, held out."""
    for evaluated_on in dict.fromkeys(row.evaluated_on for row in rows):
        yield [row for row in rows if row.evaluated_on == evaluated_on]


def table_of(rows: Sequence[AblationRow], minutes: Mapping[str, float | None]) -> Table:
    """Format the rows of one way of evaluation.

    Args:
        rows: the rows.
        minutes: variant -> time of all epochs of a seed; None: none was trained.

    Returns:
        One row a variant.
    """
    cells: list[tuple[str, ...]] = []
    for row in rows:
        time = minutes[row.variant]
        shown = "" if time is None else f"{time:.1f}"
        cells.append((row.variant, percent(row.accuracy), *_difference_cells(row), shown))
    return Table(HEAD, cells)


def _difference_cells(row: AblationRow) -> tuple[str, str, str]:
    difference = row.difference
    if difference is None:
        return "", "", ""
    return (
        points(difference.value),
        points_range(difference.low, difference.high),
        p_value(difference.p),
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
    lines = [
        f"{counted(first.images, 'image')}, {members};",
        f"{seeds}.",
        "Minutes are those of all epochs of a seed; cached work is not among them.",
    ]
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
    minutes = {variant: _mean_epoch_minutes(seeds) for variant, seeds in runs.items()}
    _write_rows(rows, minutes, folder / ABLATION_TABLE)
    _write_summary(rows, minutes, folder / ABLATION_TEXT)
    files = [folder / ABLATION_TABLE, folder / ABLATION_TEXT]
    # Variants that share their runs are compared once.
    first_seeds: dict[Path, str] = {}
    for variant, seeds in runs.items():
        first_seeds.setdefault(seeds[0].path, variant)
    if len(first_seeds) > 1:
        comparison = compare_runs([Run(path) for path in first_seeds], list(first_seeds.values()))
        charts = [_chart(part) for part in _by_evaluation(rows) if len(part) > 1]
        heading = f"What each variant changes, against {rows[0].variant}"
        files += write_comparison(comparison, folder, heading=heading, charts=charts).files
    return Ablation(rows, minutes, files)


def _write_rows(rows: list[AblationRow], minutes: Mapping[str, float | None], file: Path) -> None:
    table = pl.DataFrame([row.to_dict() for row in rows], infer_schema_length=None)
    time = pl.col("variant").replace_strict(minutes, return_dtype=pl.Float64)
    write_table(file, table.with_columns(time.alias("minutes")))


def _write_summary(
    rows: list[AblationRow], minutes: Mapping[str, float | None], file: Path
) -> None:
    blocks = []
    for part in _by_evaluation(rows):
        table = markdown_table(table_of(part, minutes))
        blocks += [table, "", f"{caption(part)} Differences are from the first row.", ""]
    write_text(file, "\n".join(blocks))


def _chart(rows: Sequence[AblationRow]) -> Chart:
    """The differences of one way of evaluation around zero."""
    named = [(row.variant, row.difference) for row in rows if row.difference]
    name = f"ablation-{rows[0].evaluated_on.replace(' ', '-')}"
    return difference_chart(name, rows[0].variant, named, rows[0].images)


def _mean_epoch_minutes(runs: Sequence[Run]) -> float | None:
    """Mean time of all epochs of the runs; None where no epoch was trained.

    Features may come from a cache in one variant and not in the other: their time compares nothing.
    """
    seconds = []
    for run in runs:
        histories = read_histories(run, run.fold_numbers()).values()
        seconds.append(sum(float(history["seconds"].sum()) for history in histories))
    return sum(seconds) / len(seconds) / 60 if any(seconds) else None
