"""The rows of an ablation -> a table for the screen, CSV, Markdown and the page of `compare`.
Judges nothing itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.table import Table as ScreenTable

from bestiary.atomic import write_text
from bestiary.display import on_screen
from bestiary.evaluation.ablation import Row
from bestiary.evaluation.compare import compare_runs
from bestiary.reporting.compare_page import write_comparison
from bestiary.reporting.sections import Table
from bestiary.reporting.text_report import markdown_table
from bestiary.run.costs import read_costs
from bestiary.run.run import Run
from bestiary.run.tables import write_table

HEAD = ("variant", "accuracy", "difference", "95 % interval", "p", "minutes")


@dataclass(frozen=True, slots=True)
class Ablation:
    """What `ablate` prints.

    Attributes:
        rows: of every variant, in order; base first in each way of judging.
        minutes: what each variant took to train, a seed, all folds together.
        files: what was written.
    """

    rows: list[Row]
    minutes: dict[str, float]
    files: list[Path]

    def __str__(self) -> str:
        parts = []
        for judged in dict.fromkeys(row.judged for row in self.rows):
            rows = [row for row in self.rows if row.judged == judged]
            table = ScreenTable(box=None, pad_edge=False, padding=(0, 1))
            for name in HEAD:
                table.add_column(
                    name,
                    justify="left" if name == "variant" else "right",
                    no_wrap=name != "variant",
                    overflow="fold",
                )
            for cells in table_of(rows, self.minutes).rows:
                table.add_row(*cells)
            parts += [caption(rows, 80), "", on_screen(table), ""]
        return "\n".join([*parts, *map(str, self.files)])


def table_of(rows: Sequence[Row], minutes: Mapping[str, float]) -> Table:
    """The rows of one way of judging as text."""
    cells: list[tuple[str, ...]] = []
    for row in rows:
        first = (row.variant, f"{row.accuracy:.4f}")
        change = row.difference
        middle = (
            ("", "", "")
            if change is None
            else (
                f"{change.value:+.4f}",
                f"{change.low:+.4f} to {change.high:+.4f}",
                f"{change.p:.3f}" if change.p >= 0.001 else "<0.001",
            )
        )
        cells.append((*first, *middle, f"{minutes[row.variant]:.1f}"))
    return Table(HEAD, cells)


def caption(rows: Sequence[Row], width: int = 0) -> str:
    """What the table shows, in words; `width` in letters, 0: one line."""
    first = rows[0]
    how = (
        "each by the member that has not seen it"
        if first.judged == "out of fold"
        else "held out, by the ensembles of all members"
    )
    seeds = (
        f"means of {first.seeds} seeds, whose spread is in the intervals"
        if first.seeds > 1
        else "one seed: the intervals hold chance among images, not among trainings"
    )
    lines = [f"{first.images:,} images, {how};", f"{seeds}."]
    return ("\n" if width else " ").join(lines)


def write_ablation(rows: list[Row], runs: Mapping[str, Sequence[Run]], folder: Path) -> Ablation:
    """Write ablation.csv, ablation.md and, of the first seed's runs, the page of `compare` into
    `folder`.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    minutes = {name: _minutes(of_variant) for name, of_variant in runs.items()}
    table = pl.DataFrame([row.to_dict() for row in rows], infer_schema_length=None)
    table = table.with_columns(
        pl.col("variant").replace_strict(minutes, return_dtype=pl.Float64).alias("minutes")
    )
    write_table(folder / "ablation.csv", table)
    texts = []
    for judged in dict.fromkeys(row.judged for row in rows):
        part = [row for row in rows if row.judged == judged]
        texts += [
            markdown_table(table_of(part, minutes)),
            "",
            f"{caption(part)} Differences are to the first row.",
            "",
        ]
    write_text(folder / "ablation.md", "\n".join(texts))
    files = [folder / "ablation.csv", folder / "ablation.md"]
    apart: dict[Path, str] = {}
    for name, of_variant in runs.items():
        apart.setdefault(of_variant[0].path, name)
    if len(apart) > 1:
        found = compare_runs([Run(path) for path in apart], list(apart.values()))
        files += write_comparison(found, folder).files
    return Ablation(rows, minutes, files)


def _minutes(runs: Sequence[Run]) -> float:
    seconds = [
        float(read_costs([run.fold(fold) for fold in run.fold_numbers()])["seconds"].sum())
        for run in runs
    ]
    return sum(seconds) / len(seconds) / 60
