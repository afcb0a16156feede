"""A comparison of runs -> a page, a Markdown table and a LaTeX table. Compares nothing itself."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from bestiary.atomic import write_text
from bestiary.evaluation.compare import Comparison
from bestiary.recipe.options import Recipe
from bestiary.reporting.gallery import Gallery
from bestiary.reporting.render import render
from bestiary.reporting.sections import Table
from bestiary.reporting.text_report import markdown_table

SHOWN = 24  # won and lost images shown of each run
LARGE = 120  # pixels of their long side
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
# What LaTeX reads as commands.
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: "\\" + c for c in "&%$#_{}"
}


@dataclass(frozen=True, slots=True)
class Compared:
    """What `compare` prints.

    Attributes:
        comparison: what was found.
        files: what was written, if anything.
    """

    comparison: Comparison
    files: list[Path]

    def __str__(self) -> str:
        table, found = comparison_table(self.comparison), self.comparison
        rows = [
            row[:-1] for row in (table.head, *table.rows)
        ]  # what differs is too long for a screen's column
        wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            f"{found.table.height:,} images that all runs have scored, each by the member that has "
            f"not seen it",
            "",
        ]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip()
            for row in rows
        ]
        lines += [
            fill(
                f"{row[0]} differs in {row[-1]}", 80, subsequent_indent="  ", break_on_hyphens=False
            )
            for row in table.rows
            if row[-1]
        ]
        lines += [
            f"{count:,} images of {name} are not in all of them and left out"
            for name, count in zip(found.names, found.alone, strict=True)
            if count
        ]
        return "\n".join([*lines, *map(str, self.files)])


def comparison_table(found: Comparison) -> Table:
    """One row a run; differences are against the first."""
    rows: list[tuple[str, ...]] = []
    columns = zip(
        found.names, found.accuracies, [None, *found.differences], found.recipes, strict=True
    )
    for name, accuracy, difference, recipe in columns:
        row = (name, f"{accuracy.value:.4f}", f"{accuracy.low:.4f} to {accuracy.high:.4f}")
        if difference is None:
            rows.append((*row, "", "", "", "", "", ""))
            continue
        interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
        counts = str(difference.wins), str(difference.losses), f"{difference.p:.3g}"
        rows.append(
            (
                *row,
                f"{difference.value:+.4f}",
                interval,
                *counts,
                _differs(found.recipes[0], recipe),
            )
        )
    return Table(HEAD, rows)


def _differs(first: Recipe, other: Recipe) -> str:
    """The options in which two recipes differ, with the other's values."""
    values = other.model_dump(mode="json")
    return ", ".join(
        f"{key}={values[key.split('.')[0]][key.split('.')[1]]}" for key in first.differences(other)
    )


def latex_table(table: Table, caption: str) -> str:
    """The table in LaTeX, for the package booktabs."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
    ]
    lines += [r"\toprule", " & ".join(map(_latex, table.head)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_latex, row)) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def write_comparison(found: Comparison, folder: Path) -> Compared:
    """Write compare.html, compare.md and compare.tex into `folder`.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    table = comparison_table(found)
    caption = (
        f"Out-of-fold accuracy on {found.table.height:,} shared images; differences are against "
        f"{found.names[0]}, "
        "intervals of 95 %, groups counted once."
    )
    texts = {
        "compare.html": _page(found, table, caption),
        "compare.md": f"{markdown_table(table)}\n\n{caption}\n",
        "compare.tex": latex_table(table, caption),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return Compared(found, [folder / name for name in texts])


def _page(found: Comparison, table: Table, caption: str) -> str:
    gallery, sides = Gallery(found.root), []
    for number, name in list(enumerate(found.names))[1:]:
        for won in (True, False):
            rows = found.changed(number, won=won)
            shown = rows.head(SHOWN)
            gallery.add(shown["path"].to_list(), LARGE)
            cards = [_card(row, number, gallery) for row in shown.iter_rows(named=True)]
            sides.append({"name": name, "won": won, "count": rows.height, "cards": cards})
    return render("compare.html", first=found.names[0], table=table, caption=caption, sides=sides)


def _card(row: dict[str, Any], number: int, gallery: Gallery) -> dict[str, Any]:
    return {
        "image": gallery.uris[row["path"]],
        "path": row["path"],
        "label": row["label"],
        "before": row["predicted_0"],
        "after": row[f"predicted_{number}"],
    }


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
