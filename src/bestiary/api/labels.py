"""The verb `labels`: suspect labels of a run, and a page to decide on them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location, RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.evaluation.labels import LabelReport


@checked_arguments
def labels(
    run: RunLocation, /, *, data: Location | None = None, out: Location | None = None
) -> "LabelReport":
    """Find labels of a run that are probably wrong.

    Confident learning (cleanlab) compares the labels with the out-of-fold
    predictions. Decide on the page labels.html: it shows each suspect next to
    typical images and saves fixes.csv. Or fill in that table's column action: keep,
    relabel or drop. Then train with --fixes.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store; that needs --out.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    out
        Folder for fixes.csv, class_quality.csv, class_overlap.csv and the page labels.html.
        Default: RUN/labels

    Examples
    --------
    >>> import bestiary
    >>> report = bestiary.labels("run")
    >>> report.fixes.columns
    ['path', 'given', 'suggested', 'score', 'action']
    """
    from bestiary.api.output_folder import check_output_folder
    from bestiary.atomic import write_text
    from bestiary.display import Display
    from bestiary.errors import ArgumentError
    from bestiary.evaluation.labels import review_labels
    from bestiary.reporting.labels_page import labels_page
    from bestiary.run.layout import LABELS, LABELS_PAGE
    from bestiary.run.opening import opened_run
    from bestiary.storage.files import is_address

    if out is None and is_address(run):
        raise ArgumentError(
            f"labels {run}: the page is for a browser here; give a folder of this machine with "
            "--out"
        )
    if out is not None:
        check_output_folder("--out", Path(out))
    with opened_run(os.fspath(run), data=data) as opened:
        folder = Path(out) if out is not None else opened.file(LABELS)
        report = review_labels(opened, folder)
        report.write()
        write_text(report.folder / LABELS_PAGE, labels_page(report))
    if report.images.notice:
        Display().notice(report.images.notice)
    return report
