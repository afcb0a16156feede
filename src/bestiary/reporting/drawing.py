"""Lines, rectangles and text -> an SVG image, or a drawing on a PDF page.

The same drawing is used inside the HTML page, where it follows the colors of the page, as an SVG
file for Markdown, and in the PDF. Control characters of names, which XML forbids, are shown as
escapes in all of them. Knows nothing of what a drawing shows.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from html import escape
from typing import Any

from bestiary.printable import printable_name

# The palette of Okabe and Ito, safe for color-blind readers (Wong 2011, doi:10.1038/nmeth.1618).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7570b3")
INK = "ink"  # black on paper, white on a dark page
QUIET = "quiet"  # gray
_INKS = {INK: "#222222", QUIET: "#999999"}
_ANCHOR_SHARES = {"start": 0.0, "middle": 0.5, "end": 1.0}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """Straight strokes through `points`."""

    points: Sequence[Point]
    color: str
    width: float
    dashed: bool
    note: str


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    color: str
    opacity: float
    note: str


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str
    size: float
    upright: bool


@dataclass
class Drawing:
    """A list of shapes on a canvas; y points down.

    Attributes:
        width: width of the canvas in units of its own.
        height: height of the canvas.
        title: what the drawing shows, for screen readers and captions.
        shapes: the shapes, bottom first.
    """

    width: float
    height: float
    title: str
    shapes: list[Line | Box | Words] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.title = printable_name(self.title)

    def line(
        self,
        points: Sequence[Point],
        color: str = INK,
        width: float = 1.0,
        dashed: bool = False,
        note: str = "",
    ) -> None:
        """Add straight strokes.

        Args:
            points: the corners.
            color: a CSS color, `INK` or `QUIET`.
            width: stroke width.
            dashed: whether the strokes are dashed.
            note: tooltip.
        """
        self.shapes.append(Line(points, color, width, dashed, printable_name(note)))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: str,
        opacity: float = 1,
        note: str = "",
    ) -> None:
        """Add a filled rectangle.

        Args:
            x: left edge.
            y: top edge.
            width: width of the rectangle.
            height: height of the rectangle.
            color: a CSS color, `INK` or `QUIET`.
            opacity: 0 to 1.
            note: tooltip.
        """
        self.shapes.append(Box(x, y, width, height, color, opacity, printable_name(note)))

    def words(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        size: float = 11,
        upright: bool = False,
    ) -> None:
        """Add a line of text.

        Args:
            x: position of the anchor.
            y: baseline.
            text: the text.
            anchor: start, middle or end.
            size: font size.
            upright: whether the text is rotated to read from bottom to top.
        """
        self.shapes.append(Words(x, y, printable_name(text), anchor, size, upright))

    def svg(self, *, themed: bool) -> str:
        """Render the drawing as SVG.

        Args:
            themed: True for use inside a page, whose text color the ink takes; False for a file
                on white.

        Returns:
            The svg element.
        """
        inks = {INK: "currentColor", QUIET: "var(--quiet)"} if themed else _INKS
        body = "".join(_svg_shape(shape, inks) for shape in self.shapes)
        namespace = "" if themed else ' xmlns="http://www.w3.org/2000/svg"'
        paper = "" if themed else '<rect width="100%" height="100%" fill="#ffffff"/>'
        return (
            f'<svg{namespace} viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.title)}" '
            f'font-family="system-ui, sans-serif">{paper}{body}</svg>'
        )

    def texts(self) -> list[str]:
        """All texts that are drawn, the title among them."""
        return [self.title, *(shape.text for shape in self.shapes if isinstance(shape, Words))]

    def on_pdf(self, pdf: Any, x: float, y: float, width: float) -> None:
        """Draw on a page of fpdf2.

        Args:
            pdf: the document, a `PdfDocument`.
            x: left edge in units of the page.
            y: top edge.
            width: width in units of the page.
        """
        scale = width / self.width
        for shape in self.shapes:
            if isinstance(shape, Words):
                _pdf_words(pdf, shape, x, y, scale)
            elif isinstance(shape, Box):
                _pdf_box(pdf, shape, x, y, scale)
            else:
                _pdf_line(pdf, shape, x, y, scale)


def _svg_shape(shape: Line | Box | Words, inks: dict[str, str]) -> str:
    if isinstance(shape, Words):
        return _svg_words(shape, inks[INK])
    note = f"<title>{escape(shape.note)}</title>" if shape.note else ""
    color = inks.get(shape.color, shape.color)
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.2f}" '
            f'height="{shape.height:.2f}" '
            f'fill="{color}" fill-opacity="{shape.opacity:.3g}">{note}</rect>'
        )
    dash = ' stroke-dasharray="4 4"' if shape.dashed else ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{shape.width:g}" '
        f'stroke-linejoin="round"{dash}>{note}</polyline>'
    )


def _svg_words(words: Words, ink: str) -> str:
    turn = f' transform="rotate(-90 {words.x:.1f} {words.y:.1f})"' if words.upright else ""
    return (
        f'<text x="{words.x:.1f}" y="{words.y:.1f}" text-anchor="{words.anchor}" '
        f'font-size="{words.size:g}" '
        f'fill="{ink}"{turn}>{escape(words.text)}</text>'
    )


def _pdf_box(pdf: Any, box: Box, x: float, y: float, scale: float) -> None:
    with pdf.local_context(fill_opacity=box.opacity):
        pdf.set_fill_color(_INKS.get(box.color, box.color))
        pdf.rect(
            x + box.x * scale,
            y + box.y * scale,
            box.width * scale,
            box.height * scale,
            style="F",
        )


def _pdf_line(pdf: Any, line: Line, x: float, y: float, scale: float) -> None:
    dash = 3 * scale if line.dashed else 0
    with pdf.local_context(line_width=line.width * scale):
        pdf.set_draw_color(_INKS.get(line.color, line.color))
        pdf.set_dash_pattern(dash, dash)
        pdf.polyline([(x + a * scale, y + b * scale) for a, b in line.points])
        pdf.set_dash_pattern()


def _pdf_words(pdf: Any, words: Words, x: float, y: float, scale: float) -> None:
    left = x + words.x * scale
    baseline = y + words.y * scale
    size = words.size * scale * pdf.k
    pdf.set_text_color(_INKS[INK])
    with pdf.rotation(90, left, baseline) if words.upright else nullcontext():
        pdf.write_line(words.text, left, baseline, size, _ANCHOR_SHARES[words.anchor])
