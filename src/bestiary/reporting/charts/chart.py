"""A chart: a drawing with its finding, its note and the rows behind it, to show or to take away."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from unicodedata import combining, east_asian_width

from bestiary.reporting.drawing import Drawing

LETTER_WIDTH = 0.56  # of the font size, on average


@dataclass(frozen=True)
class Chart:
    """A chart of a report.

    Attributes:
        name: of its files, without suffix.
        title: the finding, in a sentence.
        note: what is shown, n and the interval; complete without the page around it.
        drawing: the drawing.
        head: names of the columns of `rows`.
        rows: the numbers behind the drawing, for a CSV file.
        narrow: the same for a small screen; None: the drawing is small enough.
    """

    name: str
    title: str
    note: str
    drawing: Drawing
    head: tuple[str, ...] = ()
    rows: Sequence[tuple[object, ...]] = field(default_factory=list)
    narrow: Drawing | None = None

    def csv(self) -> str:
        """The rows as CSV, four decimals."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.head)
        for row in self.rows:
            writer.writerow([f"{v:.4f}" if isinstance(v, float) else v for v in row])
        return stream.getvalue()


def letters(text: str) -> int:
    """Count how many average letters a text is wide; Chinese ones count twice."""
    return sum(_letter_width(letter) for letter in text)


def cut(text: str, width: float, size: float) -> str:
    """Cut a text to a width.

    Args:
        text: the text.
        width: most units of the drawing.
        size: font size.

    Returns:
        The text, or its beginning and an ellipsis.
    """
    most = int(width / (size * LETTER_WIDTH))
    if letters(text) <= most:
        return text
    widths = accumulate(_letter_width(letter) for letter in text)
    shown = sum(width <= most - 1 for width in widths)
    return text[:shown].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _letter_width(letter: str) -> int:
    if combining(letter):
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1
