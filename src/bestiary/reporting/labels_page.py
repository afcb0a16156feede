"""Suspect labels -> one self-contained HTML page where a person decides on each with keys, and
saves fixes.csv.
"""

import polars as pl

from bestiary.data.thumbnails import image_uri
from bestiary.evaluation.labels import LabelReport
from bestiary.reporting.render import render

MOST = 400  # suspects shown with their images; the page saves the rows of all
LARGE = 400  # pixels of a suspect's long side


def labels_page(report: LabelReport) -> str:
    """The page as HTML."""
    asked = report.undecided.head(MOST)
    images = {path: image_uri(report.root / path, LARGE) for path in asked["path"]}
    shown = pl.concat([asked["given"], asked["suggested"]]).unique(maintain_order=True).to_list()
    typical = {
        label: [image_uri(report.root / path) for path in report.typical.get(label, [])]
        for label in shown
    }
    return render(
        "labels.html",
        run=report.run,
        asked=asked.height,
        left=report.undecided.height - asked.height,
        data={
            "rows": report.fixes.rows(),
            "images": images,
            "typical": typical,
            "classes": report.quality["label"].sort().to_list(),
        },
    )
