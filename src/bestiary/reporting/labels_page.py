"""Label report -> one self-contained HTML page to decide on suspect labels with keys.

The page shows each suspect between typical images of its two classes, and saves fixes.csv.
"""

from pathlib import Path

import polars as pl

from bestiary.data.thumbnails import image_uri
from bestiary.evaluation.labels import LabelReport
from bestiary.reporting.render import render
from bestiary.run.layout import FIXES

MAX_SUSPECTS = 300  # suspects shown with images; the saved table has all rows
SUSPECT_SIDE = 560  # pixels of the long side of a suspect's image, as large as it is shown


def labels_page(report: LabelReport) -> str:
    """Render the page of suspect labels.

    Args:
        report: the suspects of a run.

    Returns:
        The page as HTML.
    """
    suspects = report.undecided.head(MAX_SUSPECTS)
    images = {path: image_uri(report.images / path, SUSPECT_SIDE) for path in suspects["path"]}
    return render(
        "labels.html",
        run=report.run,
        command=report.command(Path("~/Downloads") / FIXES),
        headline=report.headline,
        suspects=suspects.height,
        more=report.undecided.height - suspects.height,
        data={
            "rows": report.fixes.rows(),
            "images": images,
            "shares": report.shares,
            "typical": _typical_images(report, suspects),
            "classes": report.quality["label"].sort().to_list(),
        },
    )


def _typical_images(report: LabelReport, suspects: pl.DataFrame) -> dict[str, list[str]]:
    """Class name -> data URIs of typical images, for all given and suggested labels."""
    labels = pl.concat([suspects["given"], suspects["suggested"]]).unique(maintain_order=True)
    return {
        label: [image_uri(report.images / path) for path in report.typical.get(label, [])]
        for label in labels.to_list()
    }
