"""Comparison of runs -> an HTML page, a Markdown table and a LaTeX table.

The page shows the images that a run won or lost against the first. Compares nothing itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from bestiary.atomic import write_text
from bestiary.evaluation.compare import Comparison
from bestiary.printable import printable_name
from bestiary.recipe.options import Recipe
from bestiary.reporting.gallery import Gallery
from bestiary.reporting.markdown import markdown_table
from bestiary.reporting.render import render
from bestiary.reporting.sections import Table
from bestiary.stats.paired import Difference

MAX_IMAGES = 24  # won, and as many lost, images shown of each run
IMAGE_SIDE = 120  # pixels of their long side
SCREEN_WIDTH = 80
HEAD = (
    "run",
    "accuracy",
    "95 % interval",
    "difference",
    "95 % interval",
    "won",
    "lost",
    "McNemar p",
    "differs in",
)
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

    def __str__(self) -> str:
        comparison = self.comparison
        table = comparison_table(comparison)
        head = (
            f"{comparison.table.height:,} images that all runs have scored, each by the member "
            f"that was not trained on it"
        )
        lines = [head, "", *_screen_table(table), *_screen_differences(table)]
        names = map(printable_name, comparison.names)
        for name, count in zip(names, comparison.n_unshared, strict=True):
            if count:
                lines.append(f"{count:,} images of {name} are left out: another run lacks them")
        return "\n".join([*lines, *map(printable_name, self.files)])


def _screen_table(table: Table) -> list[str]:
    """Lines of all columns but the last, which is too long for a screen."""
    rows = [tuple(map(printable_name, row[:-1])) for row in (table.head, *table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _screen_differences(table: Table) -> list[str]:
    """One wrapped text a run that says in which options it differs."""
    texts = [printable_name(f"{row[0]} differs in {row[-1]}") for row in table.rows if row[-1]]
    return [
        fill(text, SCREEN_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for text in texts
    ]


def comparison_table(comparison: Comparison) -> Table:
    """List the accuracy of each run and its difference from the first.

    Args:
        comparison: the comparison.

    Returns:
        One row a run.
    """
    rows: list[tuple[str, ...]] = []
    first_recipe = comparison.recipes[0]
    columns = zip(
        comparison.names,
        comparison.accuracies,
        [None, *comparison.differences],
        comparison.recipes,
        strict=True,
    )
    for name, accuracy, difference, recipe in columns:
        interval = f"{accuracy.low:.4f} to {accuracy.high:.4f}"
        own = (name, f"{accuracy.value:.4f}", interval)
        if difference is None:
            rows.append((*own, "", "", "", "", "", ""))
        else:
            changed = _changed_options(first_recipe, recipe)
            rows.append((*own, *_difference_cells(difference), changed))
    return Table(HEAD, rows)


def _difference_cells(difference: Difference) -> Sequence[str]:
    return (
        f"{difference.value:+.4f}",
        f"{difference.low:+.4f} to {difference.high:+.4f}",
        str(difference.wins),
        str(difference.losses),
        f"{difference.p:.3g}",
    )


def _changed_options(first: Recipe, other: Recipe) -> str:
    """The options in which two recipes differ, with the other's values."""
    values = other.model_dump(mode="json")
    changed = []
    for key in first.differences(other):
        section, option = key.split(".")[:2]
        changed.append(f"{key}={values[section][option]}")
    return ", ".join(changed)


def latex_table(table: Table, caption: str) -> str:
    """Format a table in LaTeX, for the package booktabs.

    Args:
        table: the table.
        caption: its caption.

    Returns:
        A table environment; names are escaped.
    """
    body = [" & ".join(map(_escape_latex, row)) + r" \\" for row in table.rows]
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
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def write_comparison(comparison: Comparison, folder: Path) -> Compared:
    """Write compare.html, compare.md and compare.tex.

    Args:
        comparison: the comparison.
        folder: the folder to write into.

    Returns:
        The comparison and the files.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    table = comparison_table(comparison)
    caption = (
        f"Out-of-fold accuracy on {comparison.table.height:,} shared images. Differences are from "
        f"{comparison.names[0]}. Intervals are 95 %; a group counts once."
    )
    texts = {
        "compare.html": _page(comparison, table, caption),
        "compare.md": f"{markdown_table(table)}\n\n{caption}\n",
        "compare.tex": latex_table(table, caption),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return Compared(comparison, [folder / name for name in texts])


def _page(comparison: Comparison, table: Table, caption: str) -> str:
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
    return render(
        "compare.html",
        first=comparison.names[0],
        table=table,
        caption=caption,
        sides=sides,
    )


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
