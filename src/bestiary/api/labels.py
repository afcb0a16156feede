"""TODO api.labels"""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.evaluation.labels import LabelReport


def labels(run: Place, /, *, out: Place | None = None) -> "LabelReport":
    """Find the labels of a run that are probably wrong, for a person to decide on.

    The members' predictions of images that they have not seen are weighed by confident learning
    (cleanlab). Decide on the page labels.html, which shows each suspect beside typical images and
    saves fixes.csv, or fill in that table's column action (keep, relabel, drop) by hand; then train
    with --fixes.

    Parameters ---------- run Folder of a trained run, or its address in a store; then --out is
    needed. out Folder for fixes.csv, class_quality.csv, class_overlap.csv and the page labels.html.
    Default: RUN/labels
    """
    from bestiary.atomic import write_text
    from bestiary.errors import ArgumentError
    from bestiary.evaluation.labels import review_labels
    from bestiary.reporting.labels_page import labels_page
    from bestiary.storage.files import is_address

    if out is None and is_address(run):
        raise ArgumentError(
            f"labels {run}: the page is for a browser here; give a folder of this machine with "
            f"--out"
        )
    with open_run(run) as found:
        report = review_labels(found, Path(out) if out is not None else found.file("labels"))
        report.write()
        write_text(report.folder / "labels.html", labels_page(report))
    return report
