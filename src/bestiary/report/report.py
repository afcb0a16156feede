"""A run -> its report on disk, as a page, Markdown or PDF."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bestiary.atomic import write_text
from bestiary.display import Display
from bestiary.evaluate.results import Results, read_results
from bestiary.report.run_page import run_page
from bestiary.report.text_report import write_markdown, write_pdf
from bestiary.run import Run

ReportFormat = Literal["html", "md", "pdf"]


@dataclass(frozen=True, slots=True)
class Report:
    """What `report` has written.

    Attributes:
        files: the report, then the files it needs beside it.
        results: what it shows.
    """

    files: list[Path]
    results: Results

    def __str__(self) -> str:
        size = self.files[0].stat().st_size / 1e6
        return f"{self.results.run.score_line}\n{self.files[0]} ({size:.1f} MB)"


def write_report(run: Run, out: Path | None, layout: ReportFormat, saliency: bool, display: Display) -> Report:
    """Write the report of `run` to `out`, by default into the run.

    Raises:
        RunError: not all folds have ended, or a file of the run is damaged.
        BestiaryError: a library that the format needs is not installed, or `out` cannot be written.
    """
    results, file = read_results(run), out or run.file(f"report.{layout}")
    if layout == "md":
        return Report(write_markdown(results, file), results)
    if layout == "pdf":
        return Report(write_pdf(results, file), results)
    write_text(file, run_page(results, display, with_saliency=saliency))
    return Report([file], results)
