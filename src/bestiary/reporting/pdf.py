"""Chapters of a report -> a PDF, with its figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path
from bestiary.errors import BestiaryError
from bestiary.evaluation.results import Results
from bestiary.printable import printable_name
from bestiary.reporting import figures
from bestiary.reporting.drawing import Drawing
from bestiary.reporting.sections import Table
from bestiary.reporting.text_report import Chapter, chapters

PDF_GAP = 6.0  # millimeters between two figures
TABLE_SIZE = 8.5  # points


def write_pdf(results: Results, file: Path, fonts: Sequence[Path] = ()) -> list[Path]:
    """Write the report as a PDF.

    Args:
        results: the results of a run.
        file: the PDF file.
        fonts: font files to look in first for characters that the built-in fonts lack.

    Returns:
        The file.

    Raises:
        BestiaryError: fpdf2 is not installed, no font has the characters of a name, or the folder
            cannot be written.
    """
    try:
        from bestiary.reporting.pdf_document import PdfDocument
    except ImportError:
        raise BestiaryError(
            "--format pdf: needs the library fpdf2; pip install 'bestiary[report]'"
        ) from None
    parts = chapters(results)
    title = results.run.name
    pdf = PdfDocument([title, *_texts(parts)], fonts)
    pdf.set_title(printable_name(title))
    pdf.set_auto_page_break(True, 18)
    pdf.add_page()
    _write_text(pdf, title, 9, size=18, style="B")
    for chapter in parts:
        _pdf_chapter(pdf, chapter)
    with atomic_path(file) as temporary:
        pdf.save(temporary)
    return [file]


def _pdf_chapter(pdf: Any, chapter: Chapter) -> None:
    pdf.ln(4)
    _write_text(pdf, chapter.title, 7, size=13, style="B")
    for text in filter(None, [*chapter.texts, chapter.command]):
        _write_text(pdf, text, 5, size=10)
        pdf.ln(1.5)
    for row in _figure_rows([drawing for _, drawing in chapter.drawings]):
        _pdf_figures(pdf, row)
    for table in chapter.tables:
        pdf.ln(2)
        _pdf_table(pdf, table)


def _texts(parts: Sequence[Chapter]) -> Iterator[str]:
    """All texts of the chapters."""
    for chapter in parts:
        yield from (chapter.title, *chapter.texts, chapter.command)
        for _, drawing in chapter.drawings:
            yield from drawing.texts()
        for table in chapter.tables:
            for row in (table.head, *table.rows):
                yield from map(str, row)


def _write_text(pdf: Any, text: str, height: float, *, size: float, style: str = "") -> None:
    """Write a paragraph with lines of a height."""
    text = pdf.select_font(text, size, style)
    pdf.multi_cell(0, height, text, align="L", new_x="LMARGIN", new_y="NEXT")


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
        title = pdf.select_font(drawing.title, 8.5, "I")
        pdf.multi_cell(width, 4, title, align="L")
    pdf.set_xy(pdf.l_margin, top + height + 11)


def _pdf_table(pdf: Any, table: Table) -> None:
    pdf.select_font("", TABLE_SIZE)
    with pdf.table(text_align="LEFT", line_height=4.6, borders_layout="HORIZONTAL_LINES") as grid:
        for row in (table.head, *table.rows):
            cells = grid.row()
            for cell in row:
                # The cell takes the font that is selected.
                cells.cell(pdf.select_font(str(cell), TABLE_SIZE))
        pdf.select_font("", TABLE_SIZE)  # of the bold head
