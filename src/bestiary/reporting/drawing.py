"""Lines, rectangles and words -> an SVG image or a place on a PDF page.

A drawing is made once and shown everywhere: inside the page, where it follows the page's colors,
beside the Markdown text as a file, and in the PDF. Knows nothing of what it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

# Okabe and Ito's colors, which people with any color vision tell apart (Wong 2011,
# doi:10.1038/nmeth.1618).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7570b3")
INK = "ink"  # black on paper, white on a dark page
QUIET = "quiet"
_INKS = {INK: "#222222", QUIET: "#999999"}

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
    """An image `width` by `height` units, y downwards; `title` says what it shows to those who
    cannot see it.
    """

    width: float
    height: float
    title: str
    shapes: list[Line | Box | Words] = field(default_factory=list)

    def line(
        self,
        points: Sequence[Point],
        color: str = INK,
        width: float = 1.0,
        dashed: bool = False,
        note: str = "",
    ) -> None:
        """Add strokes; `note` is shown where the pointer rests on them."""
        self.shapes.append(Line(points, color, width, dashed, note))

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
        """Add a filled rectangle."""
        self.shapes.append(Box(x, y, width, height, color, opacity, note))

    def words(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        size: float = 11,
        upright: bool = False,
    ) -> None:
        """Add text at its baseline; `upright` turns it to read from below."""
        self.shapes.append(Words(x, y, text, anchor, size, upright))

    def svg(self, *, themed: bool) -> str:
        """The drawing as SVG; themed: ink takes the colors of the page around it."""
        inks = {INK: "currentColor", QUIET: "var(--quiet)"} if themed else _INKS
        body = "".join(_svg(shape, inks) for shape in self.shapes)
        space = "" if themed else ' xmlns="http://www.w3.org/2000/svg"'
        paper = "" if themed else '<rect width="100%" height="100%" fill="#ffffff"/>'
        return (
            f'<svg{space} viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.title)}" '
            f'font-family="system-ui, sans-serif">{paper}{body}</svg>'
        )

    def on_pdf(self, pdf: Any, x: float, y: float, width: float) -> None:
        """Draw it on a page of fpdf2, `width` of the page's units wide."""
        scale = width / self.width
        for shape in self.shapes:
            if isinstance(shape, Words):
                _pdf_words(pdf, shape, x, y, scale)
            elif isinstance(shape, Box):
                with pdf.local_context(fill_opacity=shape.opacity):
                    pdf.set_fill_color(_INKS.get(shape.color, shape.color))
                    place = (
                        x + shape.x * scale,
                        y + shape.y * scale,
                        shape.width * scale,
                        shape.height * scale,
                    )
                    pdf.rect(*place, style="F")
            else:
                dash = 3 * scale if shape.dashed else 0
                with pdf.local_context(line_width=shape.width * scale):
                    pdf.set_draw_color(_INKS.get(shape.color, shape.color))
                    pdf.set_dash_pattern(dash, dash)
                    pdf.polyline([(x + a * scale, y + b * scale) for a, b in shape.points])
                    pdf.set_dash_pattern()


def _svg(shape: Line | Box | Words, inks: dict[str, str]) -> str:
    if isinstance(shape, Words):
        turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.upright else ""
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}" '
            f'font-size="{shape.size:g}" '
            f'fill="{inks[INK]}"{turn}>{escape(shape.text)}</text>'
        )
    note = f"<title>{escape(shape.note)}</title>" if shape.note else ""
    color = inks.get(shape.color, shape.color)
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.2f}" '
            f'height="{shape.height:.2f}" '
            f'fill="{color}" fill-opacity="{shape.opacity:.3g}">{note}</rect>'
        )
    dash = ' stroke-dasharray="4 4"' if shape.dashed else ""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in shape.points)
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{shape.width:g}" '
        f'stroke-linejoin="round"{dash}>{note}</polyline>'
    )


def _pdf_words(pdf: Any, shape: Words, x: float, y: float, scale: float) -> None:
    pdf.set_font(size=shape.size * scale * pdf.k)
    pdf.set_text_color(_INKS[INK])
    text = shape.text.encode("latin-1", "replace").decode("latin-1")  # what the built-in fonts hold
    back = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor] * pdf.get_string_width(text)
    a, b = x + shape.x * scale, y + shape.y * scale
    if shape.upright:
        with pdf.rotation(90, a, b):
            pdf.text(a - back, b, text)
    else:
        pdf.text(a - back, b, text)
