"""Results -> a report to hand in, with figures: data, method, results; as Markdown or PDF."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path, write_text
from bestiary.errors import BestiaryError
from bestiary.evaluation.results import Results
from bestiary.reporting import figures, gallery, sections
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.drawing import Drawing, latin1
from bestiary.reporting.sections import Table
from bestiary.run.layout import FIGURES
from bestiary.stats.calibration import risk_coverage
from bestiary.stats.metrics import reliability

MAX_PAIRS = 10  # most confused pairs in the table
PDF_GAP = 6.0  # millimeters between two figures


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the report: paragraphs, figures, then tables.

    Attributes:
        title: heading.
        texts: paragraphs.
        tables: tables.
        drawings: pairs of file name and figure.
    """

    title: str
    texts: list[str]
    tables: list[Table] = field(default_factory=list)
    drawings: list[tuple[str, Drawing]] = field(default_factory=list)


def chapters(results: Results) -> list[Chapter]:
    """Arrange the sections as chapters.

    Args:
        results: the results of a run.

    Returns:
        The chapters, in order.
    """
    audit = Table(("found by the audit", "count", "listed in"), sections.audit_rows(results))
    method = sections.method_text(results.snapshot.recipe, len(results.snapshot.folds))
    cost = Table(("what", "how much"), list(cost_rows(results)))
    return [
        Chapter("Task", [sections.data_text(results)], [audit]),
        Chapter("Method", [method]),
        _result_chapter(results),
        _mistake_chapter(results),
        _calibration_chapter(results),
        Chapter("Cost", [], [cost]),
        Chapter("How to reproduce it", [sections.reproduce_command(results)]),
    ]


def _result_chapter(results: Results) -> Chapter:
    curves = [
        (f"training-{index}", drawing)
        for index, drawing in enumerate(figures.curves(results.histories))
    ]
    return Chapter(
        "Results",
        [
            sections.accuracy_text(results),
            "Intervals are 95 %, from 1,000 bootstrap samples of whole groups.",
        ],
        [sections.score_table(results)],
        [("accuracy", figures.accuracy_figure(results)), *curves],
    )


def _mistake_chapter(results: Results) -> Chapter:
    order = gallery.order_by_confusion(results.confusion)
    counts = results.confusion[order][:, order]
    names = [results.classes[index] for index in order]
    return Chapter(
        "Mistakes",
        ["Rows are labels, columns are predictions. Classes that are confused are adjacent."],
        [_pair_table(results), _class_table(results)],
        [("confusion", figures.confusion_figure(counts, names))],
    )


def _calibration_chapter(results: Results) -> Chapter:
    before = reliability(results.raw.max(axis=1), results.hits)
    after = reliability(results.confidence, results.hits)
    coverage, risk = risk_coverage(results.confidence, results.hits)
    return Chapter(
        "Calibration and uncertainty",
        [
            "Calibration, prediction sets and accepted predictions are cross-fitted: each fold "
            "uses the thresholds of the other folds."
        ],
        [sections.prediction_set_table(results), sections.accepted_table(results)],
        [
            ("reliability", figures.reliability_figure(before, after)),
            ("risk-coverage", figures.risk_figure(coverage, risk)),
        ],
    )


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
    blocks = [f"# {results.run.name}"]
    written = [file]
    for chapter in chapters(results):
        blocks += [f"## {chapter.title}", *map(_escape, chapter.texts)]
        for name, drawing in chapter.drawings:
            path = file.parent / FIGURES / f"{name}.svg"
            write_text(path, drawing.svg(themed=False) + "\n")
            written.append(path)
            blocks.append(f"![{_escape(drawing.title)}](figures/{name}.svg)")
        blocks += [markdown_table(table) for table in chapter.tables]
    write_text(file, "\n\n".join(blocks) + "\n")
    return written


def markdown_table(table: Table) -> str:
    """Format a table in Markdown; cells are escaped.

    Args:
        table: the table.

    Returns:
        Lines of Markdown.
    """
    separator = ("---",) * len(table.head)
    lines = []
    for row in (table.head, separator, *table.rows):
        cells = [_escape(str(cell)).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_pdf(results: Results, file: Path) -> list[Path]:
    """Write the report as a PDF.

    Args:
        results: the results of a run.
        file: the PDF file.

    Returns:
        The file.

    Raises:
        BestiaryError: fpdf2 is not installed, or the folder cannot be written.
    """
    try:
        from fpdf import FPDF
    except ImportError:
        raise BestiaryError(
            "--format pdf: needs the library fpdf2; pip install 'bestiary[report]'"
        ) from None
    pdf = FPDF()
    pdf.set_title(results.run.name)
    pdf.set_auto_page_break(True, 18)
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 18)
    pdf.multi_cell(0, 9, latin1(results.run.name), new_x="LMARGIN", new_y="NEXT")
    for chapter in chapters(results):
        _pdf_chapter(pdf, chapter)
    with atomic_path(file) as temporary:
        pdf.output(str(temporary))
    return [file]


def _pdf_chapter(pdf: Any, chapter: Chapter) -> None:
    pdf.ln(4)
    pdf.set_font("Helvetica", "B", 13)
    pdf.multi_cell(0, 7, chapter.title, new_x="LMARGIN", new_y="NEXT")
    for text in chapter.texts:
        pdf.set_font("Helvetica", size=10)
        pdf.multi_cell(0, 5, latin1(text), align="L", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(1.5)
    for row in _figure_rows([drawing for _, drawing in chapter.drawings]):
        _pdf_figures(pdf, row)
    for table in chapter.tables:
        pdf.ln(2)
        _pdf_table(pdf, table)


def _figure_rows(drawings: list[Drawing]) -> list[list[Drawing]]:
    """Group figures for the page: two plots of normal width side by side, others alone."""
    rows = []
    while drawings:
        pair = len(drawings) > 1 and drawings[0].width == drawings[1].width == figures.WIDTH
        count = 2 if pair else 1
        rows.append(drawings[:count])
        drawings = drawings[count:]
    return rows


def _pdf_figures(pdf: Any, row: list[Drawing]) -> None:
    """One figure, or two side by side, each with its title below."""
    width = (pdf.epw - PDF_GAP) / 2 if row[0].width == figures.WIDTH else 0.8 * pdf.epw
    height = max(width * drawing.height / drawing.width for drawing in row)
    if pdf.will_page_break(height + 14):
        pdf.add_page()
    top = pdf.get_y() + 2
    for column, drawing in enumerate(row):
        left = pdf.l_margin + column * (width + PDF_GAP)
        drawing.on_pdf(pdf, left, top, width)
        pdf.set_xy(left, top + height + 1)
        pdf.set_font("Helvetica", "I", 8.5)
        pdf.multi_cell(width, 4, latin1(drawing.title), align="L")
    pdf.set_xy(pdf.l_margin, top + height + 11)


def _pdf_table(pdf: Any, table: Table) -> None:
    pdf.set_font("Helvetica", size=8.5)
    with pdf.table(text_align="LEFT", line_height=4.6, borders_layout="HORIZONTAL_LINES") as grid:
        for row in (table.head, *table.rows):
            cells = grid.row()
            for cell in row:
                cells.cell(latin1(str(cell)))


def _pair_table(results: Results) -> Table:
    """The pairs of classes that are confused most often."""
    counts = results.confusion
    names = results.classes
    rows: sections.TableRows = []
    for first, second in gallery.confused_pairs(counts)[:MAX_PAIRS]:
        rows.append(
            (
                f"{names[first]} and {names[second]}",
                f"{counts[first, second]} of {counts[first].sum()}",
                f"{counts[second, first]} of {counts[second].sum()}",
            )
        )
    return Table(("classes", "first taken for second", "second taken for first"), rows)


def _class_table(results: Results) -> Table:
    """Recall, precision and F1 of each class."""
    rows: sections.TableRows = []
    for scores in sections.class_rows(results):
        rows.append(
            (
                scores["name"],
                f"{scores['support']:,}",
                _score(scores["recall"]),
                _score(scores["precision"]),
                f"{scores['f1']:.3f}",
                scores["confused_with"],
            )
        )
    head = ("class", "images", "recall", "precision", "F1", "most confused with")
    return Table(head, rows)


def _score(score: dict[str, float] | None) -> str:
    if score is None:
        return "never predicted"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _escape(text: str) -> str:
    return text.replace("<", "&lt;").replace("\n", " ")
