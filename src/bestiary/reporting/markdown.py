"""Chapters of a report -> Markdown, with its figures as SVG files.

Names may come from a stranger: GitHub's renderer shows them literally.
"""

import re
from pathlib import Path

from bestiary.atomic import write_text
from bestiary.evaluation.results import Results
from bestiary.printable import printable, printable_name
from bestiary.reporting.sections import Table
from bestiary.reporting.text_report import chapters
from bestiary.run.layout import FIGURES

# Marks that are markup anywhere; an underscore that is not inside a word; what begins a quotation,
# a list or a rule; and that by which GitHub finds a link without brackets.
_MARKUP = re.compile(
    r"[\\`*\[\]<|~$#]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])"
    r"|^>|^[-+](?=[\s-]|$)|^\d+[.)](?=\s|$)"
    r"|:(?=//)|\bwww\.|@",
    re.IGNORECASE,
)
# Safe in renderers, too, that know no backslash before them.
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


def write_markdown(results: Results, file: Path) -> list[Path]:
    """Write the report as Markdown, with its figures as SVG files in figures/ next to it.

    Args:
        results: the results of a run.
        file: the Markdown file.

    Returns:
        The files written, the Markdown file first.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    blocks = [f"# {escape_markdown(results.run.name)}"]
    written = [file]
    for chapter in chapters(results):
        texts = filter(None, chapter.texts)
        blocks += [f"## {chapter.title}", *map(escape_markdown, texts)]
        if chapter.command:
            blocks.append(code_block(chapter.command))
        for chart in chapter.charts:
            path = file.parent / FIGURES / f"{chart.name}.svg"
            write_text(path, chart.drawing.svg(themed=False) + "\n")
            written.append(path)
            number = len(written) - 1
            blocks.append(f"![{escape_markdown(chart.title)}](figures/{chart.name}.svg)")
            caption = f"{chart.title}. {chart.note}"
            blocks.append(f"**Figure {number}.** {escape_markdown(caption)}")
        blocks += [markdown_table(table) for table in chapter.tables if table.rows]
    write_text(file, "\n\n".join(blocks) + "\n")
    return written


def markdown_table(table: Table) -> str:
    """Format a table in Markdown; cells are escaped.

    Args:
        table: the table.

    Returns:
        Lines of Markdown.
    """
    head, *rows = (map(escape_markdown, map(str, row)) for row in (table.head, *table.rows))
    separator = ("---",) * len(table.head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, separator, *rows))


def escape_markdown(text: str) -> str:
    r"""Escape a text, so that Markdown shows it literally and on one line.

    Example:
        >>> print(escape_markdown("- a *red* | [lynx]"))
        \- a \*red\* \| \[lynx\]
    """
    return _MARKUP.sub(_escape_markup, printable_name(text).strip())


def code_block(code: str, language: str = "") -> str:
    """Show a command or a program as it is, to copy: no mark in it ends the block.

    Args:
        code: its lines.
        language: that it is colored as; empty: none.

    Example:
        >>> print(code_block("bestiary show run", "bash"))
        ```bash
        bestiary show run
        ```
    """
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable(code)}\n{fence}"


def _escape_markup(markup: re.Match[str]) -> str:
    """Escape the last character, which makes the match markup."""
    before, last = markup[0][:-1], markup[0][-1]
    return before + _ENTITIES.get(last, f"\\{last}")
