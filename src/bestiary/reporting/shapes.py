"""Sizes of images -> histograms of their short sides and shapes, each with its finding."""

from typing import Any

import numpy as np
import polars as pl

from bestiary.numbers import percent
from bestiary.reporting.histogram import histogram, middle_half

WIDE, TALL = 1.05, 0.95  # width over height, from and to which an image is called so


def shape_charts(images: pl.DataFrame) -> list[dict[str, Any]]:
    """Draw the short sides and the shapes of images.

    Args:
        images: columns height and width in pixels, at least one row.

    Returns:
        For each chart: title (the finding), drawing (SVG) and note.
    """
    height, width = (images[name].to_numpy().astype(np.float64) for name in ("height", "width"))
    short, ratio = np.minimum(height, width), width / height
    wide, tall = float((ratio > WIDE).mean()), float((ratio < TALL).mean())
    return [
        {
            "title": f"Half are {middle_half(short, ' px')} on the short side",
            "drawing": histogram(short, "short side of the images in pixels", " px", log=True),
            "note": "Short side in pixels, in steps of equal ratio.",
        },
        {
            "title": f"{percent(wide, 0)} are wide, {percent(tall, 0)} tall",
            "drawing": histogram(ratio, "width over height", log=True),
            "note": "Width over height; 1 is a square.",
        },
    ]
