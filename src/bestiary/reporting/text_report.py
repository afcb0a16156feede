"""Results -> a text to hand in, with figures: task, method, results; as Markdown or PDF."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path, write_text
from bestiary.errors import BestiaryError
from bestiary.evaluation.results import Results
from bestiary.reporting import figures, gallery
from bestiary.reporting import sections as story
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.drawing import Drawing
from bestiary.reporting.sections import Table
from bestiary.stats.calibration import risk_coverage
from bestiary.stats.metrics import reliability

PAIRS = 10  # most confused pairs in the table


@dataclass(frozen=True, slots=True)
class Part:
    """A chapter of the text."""

    title: str
    texts: list[str]
    tables: list[Table] = field(default_factory=list)
    drawings: list[tuple[str, Drawing]] = field(default_factory=list)  # file name, drawing


def parts(results: Results) -> list[Part]:
    """The chapters, in order."""
    run, order = results.run, gallery.order_by_confusion(results.confusion)
    counts, names = (
        results.confusion[order][:, order],
        [results.classes[number] for number in order],
    )
    before = reliability(results.raw.max(axis=1), results.hits)
    after = reliability(results.confidence, results.hits)
    trained = [
        (f"training-{n}", drawing) for n, drawing in enumerate(figures.curves(results.histories))
    ]
    return [
        Part(
            "Task",
            [story.task(results)],
            [Table(("found by the audit", "number", "listed in"), story.findings(results))],
        ),
        Part("Method", [story.method(run.read_recipe(), len(run.fold_numbers()))]),
        Part(
            "Results",
            [
                story.accuracy_sentence(results),
                "Intervals are of 95 %, whole groups drawn anew a thousand times.",
            ],
            [story.score_table(results)],
            [("accuracy", figures.accuracy_figure(results)), *trained],
        ),
        Part(
            "What it gets wrong",
            [
                "Rows are labels, columns what they were taken for; classes that are confused "
                "stand together."
            ],
            [_pair_table(results), _class_table(results)],
            [("confusion", figures.confusion_figure(counts, names))],
        ),
        Part(
            "What it knows of its own errors",
            ["Calibration, sets and sure answers, each fold by what the other folds set."],
            [story.caution_table(results), story.accepted_table(results)],
            [
                ("reliability", figures.reliability_figure(before, after)),
                (
                    "risk-coverage",
                    figures.risk_figure(*risk_coverage(results.confidence, results.hits)),
                ),
            ],
        ),
        Part("Cost", [], [Table(("what", "how much"), list(cost_rows(results)))]),
        Part("How to repeat it", [story.repeat_command(results)]),
    ]


def write_markdown(results: Results, file: Path) -> list[Path]:
    """Write the text and, beside it, a folder figures/ with SVG files; gives what was written,
    the text first.
    """
    lines, written = [f"# {results.run.name}"], [file]
    for part in parts(results):
        lines += [f"## {part.title}", *map(_escaped, part.texts)]
        for name, drawing in part.drawings:
            place = file.parent / "figures" / f"{name}.svg"
            write_text(place, drawing.svg(themed=False) + "\n")
            written.append(place)
            lines.append(f"![{_escaped(drawing.title)}](figures/{name}.svg)")
        lines += [markdown_table(table) for table in part.tables]
    write_text(file, "\n\n".join(lines) + "\n")
    return written


def markdown_table(table: Table) -> str:
    """The table in Markdown; a class's name cannot break it."""
    rows = [table.head, ("---",) * len(table.head), *table.rows]
    return "\n".join(
        "| " + " | ".join(_escaped(str(cell)).replace("|", "\\|") for cell in row) + " |"
        for row in rows
    )


def write_pdf(results: Results, file: Path) -> list[Path]:
    """Write the text as a PDF.

    Raises:
        BestiaryError: fpdf2 is not installed.
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
    pdf.multi_cell(0, 9, _latin(results.run.name), new_x="LMARGIN", new_y="NEXT")
    for part in parts(results):
        pdf.ln(4)
        pdf.set_font("Helvetica", "B", 13)
        pdf.multi_cell(0, 7, part.title, new_x="LMARGIN", new_y="NEXT")
        for text in part.texts:
            pdf.set_font("Helvetica", size=10)
            pdf.multi_cell(0, 5, _latin(text), align="L", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(1.5)
        drawings = [drawing for _, drawing in part.drawings]
        while drawings:
            row = (
                2
                if len(drawings) > 1 and drawings[0].width == drawings[1].width == figures.WIDTH
                else 1
            )
            _place(pdf, drawings[:row])
            drawings = drawings[row:]
        for table in part.tables:
            pdf.ln(2)
            _pdf_table(pdf, table)
    with atomic_path(file) as temporary:
        pdf.output(str(temporary))
    return [file]


def _place(pdf: Any, row: list[Drawing]) -> None:
    """One drawing, or two side by side, each with its title below."""
    gap = 6.0
    width = (pdf.epw - gap) / 2 if row[0].width == figures.WIDTH else 0.8 * pdf.epw
    height = max(width * drawing.height / drawing.width for drawing in row)
    if pdf.will_page_break(height + 14):
        pdf.add_page()
    top = pdf.get_y() + 2
    for number, drawing in enumerate(row):
        left = pdf.l_margin + number * (width + gap)
        drawing.on_pdf(pdf, left, top, width)
        pdf.set_xy(left, top + height + 1)
        pdf.set_font("Helvetica", "I", 8.5)
        pdf.multi_cell(width, 4, _latin(drawing.title), align="L")
    pdf.set_xy(pdf.l_margin, top + height + 11)


def _pdf_table(pdf: Any, table: Table) -> None:
    pdf.set_font("Helvetica", size=8.5)
    with pdf.table(text_align="LEFT", line_height=4.6, borders_layout="HORIZONTAL_LINES") as shown:
        for row in (table.head, *table.rows):
            cells = shown.row()
            for cell in row:
                cells.cell(_latin(str(cell)))


def _pair_table(results: Results) -> Table:
    counts, names = results.confusion, results.classes
    return Table(
        ("classes", "first taken for second", "second taken for first"),
        [
            (
                f"{names[a]} and {names[b]}",
                f"{counts[a, b]} of {counts[a].sum()}",
                f"{counts[b, a]} of {counts[b].sum()}",
            )
            for a, b in gallery.confused_pairs(counts)[:PAIRS]
        ],
    )


def _class_table(results: Results) -> Table:
    def share(score: dict[str, float] | None) -> str:
        return (
            f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
            if score
            else "never predicted"
        )

    rows: list[tuple[str, ...]] = [
        (
            row["name"],
            f"{row['support']:,}",
            share(row["recall"]),
            share(row["precision"]),
            f"{row['f1']:.3f}",
            row["taken"],
        )
        for row in story.class_rows(results)
    ]
    return Table(("class", "images", "recall", "precision", "F1", "most taken for"), rows)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("\n", " ")


def _latin(text: str) -> str:
    """What the PDF's built-in fonts hold; other letters become question marks."""
    return text.encode("latin-1", "replace").decode("latin-1")
