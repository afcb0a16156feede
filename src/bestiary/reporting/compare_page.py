"""Comparison of runs -> an HTML page, a Markdown table and a LaTeX table.

The page shows the differences as a forest plot, what differs, and the images that a run fixed or
broke against the first. Compares nothing itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from bestiary.atomic import write_text
from bestiary.evaluation.compare import Comparison
from bestiary.numbers import counted, percent, percent_range, points, points_range
from bestiary.printable import printable_name
from bestiary.recipe.options import Recipe
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.differences import difference_chart
from bestiary.reporting.gallery import Gallery
from bestiary.reporting.links import report_link
from bestiary.reporting.markdown import escape_markdown, markdown_table
from bestiary.reporting.render import render
from bestiary.reporting.sections import Table
from bestiary.screen_table import ScreenTable
from bestiary.stats.paired import Difference
from bestiary.streams import screen_width

MAX_IMAGES = 24  # fixed, and as many broken, images shown of each run
IMAGE_SIDE = 120  # pixels of their long side
MAX_CHANGES = 4  # options in which a run differs that are named; the rest is counted
HEAD = ("run", "accuracy", "95 % interval", "difference, points", "fixed", "broke", "p")
# Characters that LaTeX reads as commands.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison that `compare` prints.

    Attributes:
        comparison: the comparison.
        files: the files written, if any.
    """

    comparison: Comparison
    files: list[Path]

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        comparison = self.comparison
        first = comparison.recipes[0]
        columns = zip(
            comparison.names,
            comparison.accuracies,
            [None, *comparison.differences],
            comparison.recipes,
            comparison.n_unshared,
            strict=True,
        )
        return {
            "images": comparison.table.height,
            "runs": [
                {
                    "run": name,
                    "accuracy": accuracy,
                    "difference": difference,
                    "changes": changed_options(first, recipe),
                    "left_out": unshared,
                }
                for name, accuracy, difference, recipe, unshared in columns
            ],
            "files": self.files,
        }

    def __str__(self) -> str:
        comparison = self.comparison
        table = comparison_table(comparison)
        head = (
            f"{counted(comparison.table.height, 'image')} that all runs have scored, each by the "
            "member that was not trained on it"
        )
        lines = [fill(head, screen_width()), "", str(_screen_table(table))]
        lines += [
            fill(
                printable_name(f"{name} differs in {changes}"),
                screen_width(),
                subsequent_indent="  ",
                break_on_hyphens=False,
            )
            for name, changes in all_changes(comparison)
        ]
        names = map(printable_name, comparison.names)
        for name, count in zip(names, comparison.n_unshared, strict=True):
            if count:
                lines.append(
                    f"{counted(count, 'image')} of {name} left out: another run lacks them"
                )
        return "\n".join([*lines, *map(printable_name, self.files)])


def _screen_table(table: Table) -> ScreenTable:
    """The table without the interval of the accuracy: it fits a screen of 80 columns."""
    chosen = [0, 1, 3, 4, 5, 6]
    screen = ScreenTable(*(table.head[column] for column in chosen))
    for row in table.rows:
        screen.add_row(*(row[column] for column in chosen))
    return screen


def comparison_table(comparison: Comparison) -> Table:
    """List the accuracy of each run and its difference from the first.

    Args:
        comparison: the comparison.

    Returns:
        One row a run.
    """
    rows: list[tuple[str, ...]] = []
    columns = zip(
        comparison.names,
        comparison.accuracies,
        [None, *comparison.differences],
        strict=True,
    )
    for name, accuracy, difference in columns:
        interval = percent_range(accuracy.low, accuracy.high)
        own = (name, percent(accuracy.value), interval)
        rows.append((*own, *(difference_cells(difference) if difference else ("",) * 4)))
    return Table(HEAD, rows)


def difference_cells(difference: Difference) -> tuple[str, str, str, str]:
    """Format a difference: points with interval, images fixed and broken, p."""
    interval = points_range(difference.low, difference.high)
    return (
        f"{points(difference.value)} ({interval})",
        f"{difference.wins:,}",
        f"{difference.losses:,}",
        p_value(difference.p),
    )


def p_value(p: float) -> str:
    """Format a p-value: three decimals, and never 0."""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def all_changes(comparison: Comparison) -> list[tuple[str, str]]:
    """Name and changed options of each run but the first that differs from it."""
    first, *others = comparison.recipes
    pairs = []
    for name, recipe in zip(comparison.names[1:], others, strict=True):
        changes = changed_options(first, recipe)
        if changes:
            pairs.append((name, ", ".join(changes)))
    return pairs


def changed_options(first: Recipe, other: Recipe) -> list[str]:
    """The options in which two recipes differ, with the other's values as a recipe has them."""
    values = other.model_dump(mode="json")
    changed = []
    for key in first.differences(other):
        section, option = key.split(".")[:2]
        value = values[section][option]
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        changed.append(f"{key}={shown}")
    return changed


def latex_table(table: Table, caption: str, notes: Sequence[tuple[str, str]] = ()) -> str:
    """Format a table in LaTeX, for the package booktabs.

    Args:
        table: the table.
        caption: its caption.
        notes: name and text of what stands below the table, where lines break.

    Returns:
        A table environment; names are escaped.
    """
    body = [" & ".join(map(_escape_latex, row)) + r" \\" for row in table.rows]
    below = [
        rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize\raggedright "
        rf"\textbf{{{_escape_latex(name)}}}: {_escape_latex(text)}}}"
        for name, text in notes
    ]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape_latex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"\toprule",
        " & ".join(map(_escape_latex, table.head)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *below,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def write_comparison(
    comparison: Comparison,
    folder: Path,
    *,
    heading: str = "",
    charts: Sequence[Chart] = (),
) -> Compared:
    """Write compare.html, compare.md and compare.tex.

    Args:
        comparison: the comparison.
        folder: the folder to write into.
        heading: of the page; empty: of a comparison.
        charts: of the page; none: the differences of the runs.

    Returns:
        The comparison and the files.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    table = comparison_table(comparison)
    caption = (
        f"Out-of-fold accuracy on {comparison.table.height:,} shared images. Differences are from "
        f"{comparison.names[0]}. Intervals are 95 %; a group counts once. p: McNemar."
    )
    notes = all_changes(comparison)
    marked = "".join(f"\n- {line}" for line in (f"{name}: {text}" for name, text in notes))
    texts = {
        "compare.html": _page(comparison, table, caption, folder, heading, charts),
        "compare.md": f"{markdown_table(table)}\n\n{caption}\n{escape_lines(marked)}",
        "compare.tex": latex_table(table, caption, notes),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return Compared(comparison, [folder / name for name in texts])


def escape_lines(text: str) -> str:
    """Escape each line of a list for Markdown."""
    lines = [line.removeprefix("- ") for line in text.splitlines() if line]
    return "".join(f"\n- {escape_markdown(line)}" for line in lines) + ("\n" if lines else "")


def _page(
    comparison: Comparison,
    table: Table,
    caption: str,
    folder: Path,
    heading: str,
    charts: Sequence[Chart],
) -> str:
    first, others = comparison.names[0], comparison.names[1:]
    pairs = list(zip(others, comparison.differences, strict=True))
    shown = charts or [difference_chart("differences", first, pairs, comparison.table.height)]
    links = [report_link(run, folder) for run in comparison.runs]
    recipes = comparison.recipes
    changes = [[], *(changed_options(recipes[0], recipe) for recipe in recipes[1:])]
    rows = [
        {"cells": row, "link": link, "changes": own[:MAX_CHANGES], "more": own[MAX_CHANGES:]}
        for row, link, own in zip(table.rows, links, changes, strict=True)
    ]
    return render(
        "compare.html",
        first=first,
        title=heading or shown[0].title,
        charts=shown,
        head=table.head,
        rows=rows,
        caption=caption,
        sides=_sides(comparison),
        for_print=False,
    )


def _sides(comparison: Comparison) -> list[dict[str, Any]]:
    """Images that each run fixed, and those that it broke."""
    gallery = Gallery(comparison.images)
    sides = []
    for index, name in enumerate(comparison.names):
        if index == 0:
            continue
        for won in (True, False):
            rows = comparison.changed(index, won=won)
            shown = rows.head(MAX_IMAGES)
            gallery.add(shown["path"].to_list(), IMAGE_SIDE)
            cards = [_card(row, index, gallery) for row in shown.iter_rows(named=True)]
            sides.append({"name": name, "won": won, "count": rows.height, "cards": cards})
    return sides


def _card(row: dict[str, Any], index: int, gallery: Gallery) -> dict[str, Any]:
    return {
        "image": gallery.uris[row["path"]],
        "path": row["path"],
        "label": row["label"],
        "before": row["predicted_0"],
        "after": row[f"predicted_{index}"],
    }


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in printable_name(text))
