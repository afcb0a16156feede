"""Predictions to review -> one self-contained HTML page to accept or correct them with keys.

The page saves reviewed.csv, which `train` takes, and computes the accuracy on the images that were
drawn at random.
"""

from pathlib import Path

from bestiary.atomic import write_text
from bestiary.data.thumbnails import image_uri
from bestiary.evaluation.review import Review
from bestiary.printable import place_name, shell_name
from bestiary.reporting.render import render
from bestiary.run.layout import REVIEW_PAGE
from bestiary.stats.intervals import Z95

REVIEWED = "reviewed.csv"  # that the page saves
REVIEWED_SIDE = 400  # pixels of the long side of an image


def review_page(review: Review, run: str) -> str:
    """Render the page of predictions to review.

    Args:
        review: the predictions.
        run: place of the run that made them, to be shown.

    Returns:
        The page as HTML.
    """
    rows = review.rows
    images = [image_uri(review.root / row["path"], REVIEWED_SIDE) for row in rows]
    root = f"data.root={place_name(review.root)}"
    audited = sum(row["audit"] for row in rows)
    return render(
        "review_page.html",
        run=run,
        command=f"bestiary train ~/Downloads/{REVIEWED} NEW_RUN --set {shell_name(root)}",
        total=review.total,
        unsure=review.unsure,
        not_shown=review.total - len(rows),
        audited=audited,
        data={"rows": rows, "images": images, "classes": review.classes, "z": Z95},
    )


def write_review(review: Review, run: str, folder: Path) -> Path:
    """Write the page of predictions to review.

    Args:
        review: the predictions.
        run: place of the run that made them.
        folder: where to; it is made if need be.

    Returns:
        The page.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    page = folder / REVIEW_PAGE
    write_text(page, review_page(review, run))
    return page
