"""A run -> its report on disk, as a page, Markdown or PDF."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bestiary.atomic import write_text
from bestiary.display import Display
from bestiary.evaluation.results import Results, read_results
from bestiary.reporting.run_page import run_page
from bestiary.reporting.text_report import write_markdown, write_pdf
from bestiary.run.run import Run

ReportFormat = Literal["html", "md", "pdf"]


@dataclass(frozen=True, slots=True)
class Report:
    """What `report` has written.

    Attributes:
        files: the report, then the files it needs beside it.
        place: where the report lies, a path or an address.
        megabytes: its size.
        results: what it shows.
        score_line: its number in words.
    """

    files: list[Path]
    place: str
    megabytes: float
    results: Results
    score_line: str | None

    def __str__(self) -> str:
        return f"{self.score_line}\n{self.place} ({self.megabytes:.1f} MB)"


def write_report(
    run: Run, out: Path | None, layout: ReportFormat, saliency: bool, display: Display
) -> Report:
    """Write the report of `run` to `out`, by default into the run.

    Raises:
        RunError: not all folds have ended, or a file of the run is damaged.
        BestiaryError: a library that the format needs is not installed, or `out` cannot be written.
    """
    results, name = read_results(run), f"report.{layout}"
    file = out or run.file(name)
    if layout == "md":
        files = write_markdown(results, file)
    elif layout == "pdf":
        files = write_pdf(results, file)
    else:
        files = [file]
        write_text(file, run_page(results, display, with_saliency=saliency))
    place = f"{run.address}/{name}" if run.address and out is None else str(file)
    return Report(files, place, file.stat().st_size / 1e6, results, run.score_line)
