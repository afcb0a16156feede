"""The verbs that read finished runs: show, report, compare, labels."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bestiary.api.arguments import Place, opened

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
        Folder of a run, finished or not, or its address in a store.
    """
    from bestiary.evaluate import summarise

    with opened(run) as found:
        return summarise(found)


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
        Folder of a trained run, or its address in a store.
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

    place = Path(out) if out is not None else None
    with opened(run) as found:
        return write_report(found, place, format, not no_saliency, Display(quiet))


def compare(run: Place, other: Place, /, *more: Place, out: Place | None = None) -> "Compared":
    """Compare finished runs on the pictures they share: paired differences of accuracy, with intervals and a test.

    Each picture is judged by each run's member that has not seen it.

    Parameters
    ----------
    run
        Folder of the run that the others are compared with, or its address in a store, as of all.
    other
        Folder of a run.
    more
        Folders of more runs.
    out
        Folder for compare.html, a page with the pictures won and lost, compare.md and compare.tex.
    """
    from bestiary.evaluate.compare import compare_runs
    from bestiary.report.compare_page import Compared, write_comparison

    with ExitStack() as held:
        found = compare_runs([held.enter_context(opened(place)) for place in (run, other, *more)])
        return Compared(found, []) if out is None else write_comparison(found, Path(out))


def labels(run: Place, /, *, out: Place | None = None) -> "LabelReport":
    """Find the labels of a run that are probably wrong, for a person to decide on.

    The members' predictions of pictures that they have not seen are weighed by confident learning (cleanlab).
    Decide on the page labels.html, which shows each suspect beside typical pictures and saves fixes.csv, or fill in
    that table's column action (keep, relabel, drop) by hand; then train with --fixes.

    Parameters
    ----------
    run
        Folder of a trained run, or its address in a store; then --out is needed.
    out
        Folder for fixes.csv, class_quality.csv, class_overlap.csv and the page labels.html. Default: RUN/labels
    """
    from bestiary.atomic import write_text
    from bestiary.errors import ArgumentError
    from bestiary.evaluate import review_labels
    from bestiary.report.labels_page import labels_page
    from bestiary.storage import is_address

    if out is None and is_address(run):
        raise ArgumentError(f"labels {run}: the page is for a browser here; give a folder of this machine with --out")
    with opened(run) as found:
        report = review_labels(found, Path(out) if out is not None else found.file("labels"))
        report.write()
        write_text(report.folder / "labels.html", labels_page(report))
    return report
