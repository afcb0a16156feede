"""TODO api.report"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.reporting.report import Report


def report(
    run: Place,
    /,
    *,
    out: Place | None = None,
    format: Literal["html", "md", "pdf"] = "html",
    no_saliency: bool = False,
    quiet: bool = False,
) -> "Report":
    """Write the report of a run: its number and what stands behind it, what it gets wrong, whether
    it knows.

    The page is one file that opens without a connection. md and pdf are a text to hand in, with
    figures.

    Parameters ---------- run Folder of a trained run, or its address in a store. out File to write.
    Default: RUN/report.html, .md or .pdf format html: a page to explore. md: Markdown, its figures
    as SVG in figures/ beside it. pdf: the same text. no_saliency Leave out where the members
    looked, which has to run them. quiet Show no progress.
    """
    from bestiary.display import Display
    from bestiary.reporting.report import write_report

    place = Path(out) if out is not None else None
    with open_run(run) as found:
        return write_report(found, place, format, not no_saliency, Display(quiet))
