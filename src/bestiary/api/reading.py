"""The verbs that read finished runs: show, report, compare, labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bestiary.api.arguments import Place

if TYPE_CHECKING:
    from bestiary.evaluate import LabelReport, Summary
    from bestiary.report.compare_page import Compared
    from bestiary.report.report import Report
else:  # the command line reads the annotations; what the verbs return is none of its business
    Compared = LabelReport = Report = Summary = Any


def show(run: Place, /) -> "Summary":
    """Show what a run is, how far it has come, and its out-of-fold score.

    Parameters
    ----------
    run
        Folder of a run, finished or not.
    """
    from bestiary.evaluate import summarise
    from bestiary.run import Run

    return summarise(Run.open(run))


def report(
    run: Place,
    /,
    *,
    out: Place | None = None,
    format: Literal["html", "md", "pdf"] = "html",
    no_saliency: bool = False,
    quiet: bool = False,
) -> "Report":
    """Write the report of a run: its number and what stands behind it, what it gets wrong, whether it knows.

    The page is one file that opens without a connection. md and pdf are a text to hand in, with figures.

    Parameters
    ----------
    run
        Folder of a trained run.
    out
        File to write. Default: RUN/report.html, .md or .pdf
    format
        html: a page to explore. md: Markdown, its figures as SVG in figures/ beside it. pdf: the same text.
    no_saliency
        Leave out where the members looked, which has to run them.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.report.report import write_report
    from bestiary.run import Run

    place = Path(out) if out is not None else None
    return write_report(Run.open(run), place, format, not no_saliency, Display(quiet))


def compare(run: Place, other: Place, /, *more: Place, out: Place | None = None) -> "Compared":
    """Compare finished runs on the pictures they share: paired differences of accuracy, with intervals and a test.

    Each picture is judged by each run's member that has not seen it.

    Parameters
    ----------
    run
        Folder of the run that the others are compared with.
    other
        Folder of a run.
    more
        Folders of more runs.
    out
        Folder for compare.html, a page with the pictures won and lost, compare.md and compare.tex.
    """
    from bestiary.evaluate.compare import compare_runs
    from bestiary.report.compare_page import Compared, write_comparison
    from bestiary.run import Run

    found = compare_runs([Run.open(place) for place in (run, other, *more)])
    return Compared(found, []) if out is None else write_comparison(found, Path(out))


def labels(run: Place, /, *, out: Place | None = None) -> "LabelReport":
    """Find the labels of a run that are probably wrong, for a person to decide on.

    The members' predictions of pictures that they have not seen are weighed by confident learning (cleanlab).
    Decide on the page labels.html, which shows each suspect beside typical pictures and saves fixes.csv, or fill in
    that table's column action (keep, relabel, drop) by hand; then train with --fixes.

    Parameters
    ----------
    run
        Folder of a trained run.
    out
        Folder for fixes.csv, class_quality.csv, class_overlap.csv and the page labels.html. Default: RUN/labels
    """
    from bestiary.atomic import write_text
    from bestiary.evaluate import review_labels
    from bestiary.report.labels_page import labels_page
    from bestiary.run import Run

    opened = Run.open(run)
    report = review_labels(opened, Path(out) if out is not None else opened.file("labels"))
    report.write()
    write_text(report.folder / "labels.html", labels_page(report))
    return report
