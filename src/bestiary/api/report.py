"""The verb `report`: a finished run -> its page, Markdown, PDF or model card; runs -> an index."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import ReportFormat

if TYPE_CHECKING:
    from bestiary.reporting.index_page import Index
    from bestiary.reporting.report import Report


@checked_arguments
def report(
    run: RunLocation,
    /,
    *,
    data: Location | None = None,
    out: Location | None = None,
    format: ReportFormat = "html",
    no_saliency: bool = False,
    font: Annotated[Sequence[Location], Many] = (),
    quiet: bool = False,
) -> "Report | Index":
    """Write the report of a run: its score, its errors, its trust.

    The page is one file that opens offline, and prints. md and pdf are to hand in.
    For a folder of runs, an index page: RUNS/index.html, with links to their reports.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store. Or a folder of runs.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    out
        File to write. Default: RUN/report.html, .md or .pdf, or RUN/README.md
    format
        html: a page to explore. md: Markdown, with its figures as SVG in figures/ next to
        it. pdf: the page in its print layout, with fonts of this machine. card: a model card
        for the Hugging Face hub, to fill in before bestiary push.
    no_saliency
        Leave out the saliency maps, which have to run the members.
    font
        Font files to look in first for the letters of a PDF: .ttf or .otf.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> bestiary.report("run", quiet=True).files
    [PosixPath('run/report.html')]
    """
    from bestiary.display import Display
    from bestiary.errors import ArgumentError
    from bestiary.reporting.index_page import write_index
    from bestiary.reporting.links import runs_in
    from bestiary.reporting.report import write_report
    from bestiary.run.opening import opened_run
    from bestiary.run.run import Run
    from bestiary.storage.hub import is_hub

    if out is None and is_hub(run):
        raise ArgumentError(
            f"report {run}: a run on the hub is only read; give a file of this machine with --out"
        )
    file = Path(out) if out is not None else None
    if font and format != "pdf":
        raise ArgumentError(f"--font {font[0]}: only a PDF embeds fonts; add --format pdf")
    fonts = [Path(name) for name in font]
    folder = Path(run)
    if not Run(folder).exists and runs_in(folder):
        if format != "html" or data is not None:
            raise ArgumentError(f"{folder}: is a folder of runs, whose index is a page; name a run")
        return write_index(folder, file)
    with opened_run(os.fspath(run), data=data) as opened:
        return write_report(opened, file, format, not no_saliency, Display(quiet), fonts)
