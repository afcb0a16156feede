"""Finished run -> its report on disk: an HTML page, Markdown with figures, PDF, or a model card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.atomic import write_text
from bestiary.details import stage
from bestiary.display import Display
from bestiary.errors import ArgumentError
from bestiary.evaluation.results import Results, read_results
from bestiary.printable import printable_name
from bestiary.recipe.choices import ReportFormat
from bestiary.reporting.links import other_reports
from bestiary.reporting.markdown import write_markdown
from bestiary.reporting.model_card import model_card
from bestiary.reporting.pdf import write_pdf
from bestiary.reporting.run_page import run_page
from bestiary.run.layout import REPORTS
from bestiary.run.metrics_file import accuracy_line
from bestiary.run.run import Run


@dataclass(frozen=True, slots=True)
class Report:
    """The files that `report` wrote.

    Attributes:
        files: the report first, then the figures it links to.
        place: path or store address of the report.
        megabytes: size of the report.
        results: the results that the report shows.
        score_line: the run's accuracy in one line.
    """

    files: list[Path]
    place: str
    megabytes: float
    results: Results
    score_line: str

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "report": self.place,
            "files": self.files,
            "megabytes": self.megabytes,
            "accuracy": self.results.scores["accuracy"],
        }

    def __str__(self) -> str:
        return f"{self.score_line}\n{printable_name(self.place)} ({self.megabytes:.1f} MB)"


@stage("Composing the report")
def write_report(
    run: Run,
    out: Path | None,
    layout: ReportFormat,
    saliency: bool,
    display: Display,
    fonts: Sequence[Path] = (),
) -> Report:
    """Write the report of a run.

    Args:
        run: a run whose folds have all ended.
        out: the file to write; None writes `report.<layout>` into the run.
        layout: the format.
        saliency: whether the HTML page shows saliency maps.
        display: shows the progress.
        fonts: font files to look in first for letters of a PDF.

    Returns:
        The files and what they show.

    Raises:
        ArgumentError: a font file cannot be used, or there is a model card already.
        RunError: a fold has not ended, or a file of the run is damaged.
        BestiaryError: a library for the format is missing, or `out` cannot be written.
    """
    name = REPORTS[layout]
    file = out or run.file(name)
    if layout == "card":
        _check_free(file)
    results = read_results(run)
    if layout == "card":
        files = [file]
        write_text(file, model_card(results))
    elif layout == "md":
        files = write_markdown(results, file)
    elif layout == "pdf":
        files = write_pdf(results, file, display, fonts, with_saliency=saliency)
    else:
        files = [file]
        others = other_reports(run) if out is None else []
        page = run_page(results, display, with_saliency=saliency, others=others)
        write_text(file, page)
    if results.snapshot.images.notice:
        display.notice(results.snapshot.images.notice)
    place = f"{run.address}/{name}" if run.address and out is None else str(file)
    # As on the page: from the logits, which metrics.json may not fit, or lack.
    score_line = accuracy_line(results.scores["accuracy"])
    return Report(files, place, file.stat().st_size / 1e6, results, score_line)


def _check_free(file: Path) -> None:
    """Refuse to write over a card, which its owner may have filled in."""
    if file.exists():
        raise ArgumentError(
            f"{file}: exists already, and may have been edited; remove it, or give another file "
            "with --out"
        )
