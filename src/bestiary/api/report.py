"""The verb `report`: a finished run -> its report as a page, Markdown or PDF."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bestiary.api.arguments import Location, Many
from bestiary.recipe.choices import ReportFormat

if TYPE_CHECKING:
    from bestiary.reporting.report import Report


def report(
    run: Location,
    /,
    *,
    data: Location | None = None,
    out: Location | None = None,
    format: ReportFormat = "html",
    no_saliency: bool = False,
    font: Annotated[Sequence[Location], Many] = (),
    quiet: bool = False,
) -> "Report":
    """Write the report of a run: its score, its errors, and how far to trust it.

    The page is one file that opens offline. md and pdf are a text to hand in, with
    figures.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    out
        File to write. Default: RUN/report.html, .md or .pdf
    format
        html: a page to explore. md: Markdown, with its figures as SVG in figures/ next to
        it. pdf: the same text. It embeds fonts of this machine for letters that are not
        Western European.
    no_saliency
        Leave out the saliency maps, which have to run the members.
    font
        Font files to look in first for the letters of a PDF: .ttf, .otf or .ttc.
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
    from bestiary.reporting.report import write_report
    from bestiary.run.opening import opened_run

    file = Path(out) if out is not None else None
    if font and format != "pdf":
        raise ArgumentError(f"--font {font[0]}: only a PDF embeds fonts; add --format pdf")
    fonts = [Path(name) for name in font]
    with opened_run(run, data=data) as opened:
        return write_report(opened, file, format, not no_saliency, Display(quiet), fonts)
