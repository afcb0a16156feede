"""Lines, rectangles, dots and text -> an SVG image.

The same drawing is used inside a page, whose colors it follows in both themes, and as a file on
white; `raster` makes it a PNG. Control characters of names, which XML forbids, are shown as escapes
in all of them. Knows nothing of what a drawing shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape

from bestiary.printable import printable_name

INK = "ink"  # black on paper, white on a dark page
QUIET = "quiet"  # gray text
EDGE = "edge"  # grid lines
REST = "rest"  # gray marks
HIT = "hit"
MISS = "miss"
PAPER = "card"
SERIES = tuple(f"s{number}" for number in range(8))
"""Hues of Okabe and Ito, safe for color-blind readers (Wong 2011, doi:10.1038/nmeth.1618), as dark
or light as their ground needs: contrast 3 or more."""
COLORS = {
    INK: "#1d1c1a",
    QUIET: "#635e55",
    EDGE: "#e2ddd3",
    REST: "#8d877b",
    HIT: "#0072b2",
    MISS: "#b54800",
    PAPER: "#ffffff",
    **dict(
        zip(
            SERIES,
            (
                "#0072b2",
                "#b54800",
                "#007a5a",
                "#a14d80",
                "#8a6000",
                "#2b7ba8",
                "#76591f",
                "#5f59a6",
            ),
            strict=True,
        )
    ),
}
"""The colors on white; the pages' stylesheet has those of both themes by the same names."""

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
class Dot:
    """A filled circle, or a ring."""

    x: float
    y: float
    radius: float
    color: str
    opacity: float
    ring: bool
    note: str


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str
    size: float
    color: str
    upright: bool
    bold: bool
    halo: bool


Shape = Line | Box | Dot | Words


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
    shapes: list[Shape] = field(default_factory=list)

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
            points: at least two.
            color: one of `COLORS`.
            width: of the stroke.
            dashed: whether the line is dashed.
            note: tooltip.
        """
        self.shapes.append(Line(list(points), color, width, dashed, printable_name(note)))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: str,
        opacity: float = 1.0,
        note: str = "",
    ) -> None:
        """Add a filled rectangle.

        Args:
            x: left edge.
            y: top edge.
            width: width of the rectangle.
            height: height of the rectangle.
            color: one of `COLORS`.
            opacity: 0 to 1.
            note: tooltip.
        """
        self.shapes.append(Box(x, y, width, height, color, opacity, printable_name(note)))

    def dot(
        self,
        x: float,
        y: float,
        radius: float,
        color: str,
        opacity: float = 1.0,
        ring: bool = False,
        note: str = "",
    ) -> None:
        """Add a circle.

        Args:
            x: center.
            y: center.
            radius: of the circle.
            color: one of `COLORS`.
            opacity: 0 to 1.
            ring: whether only its edge is drawn.
            note: tooltip.
        """
        self.shapes.append(Dot(x, y, radius, color, opacity, ring, printable_name(note)))

    def words(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        size: float = 12,
        color: str = INK,
        upright: bool = False,
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """Add a line of text.

        Args:
            x: position of the anchor.
            y: baseline.
            text: the text.
            anchor: start, middle or end.
            size: font size.
            color: one of `COLORS`.
            upright: whether the text is rotated to read from bottom to top.
            bold: whether it is bold.
            halo: whether the ground shines through around it, for text over marks.
        """
        words = Words(x, y, printable_name(text), anchor, size, color, upright, bold, halo)
        self.shapes.append(words)

    def place(self, other: "Drawing", x: float, y: float, scale: float) -> None:
        """Add the shapes of another drawing.

        Args:
            other: the drawing.
            x: where its left edge comes to be.
            y: where its top edge comes to be.
            scale: factor of its size.
        """
        self.shapes += [_moved(shape, x, y, scale) for shape in other.shapes]

    def svg(self, *, themed: bool) -> str:
        """Render the drawing as SVG.

        Args:
            themed: True for use inside a page, whose colors it takes; False for a file on white.

        Returns:
            The svg element.
        """
        inks = {name: f"var(--{name})" for name in COLORS} if themed else COLORS
        body = "".join(_svg_shape(shape, inks) for shape in self.shapes)
        family = "system-ui, sans-serif" if themed else "sans-serif"
        paper = "" if themed else '<rect width="100%" height="100%" fill="#ffffff"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'role="img" aria-label="{escape(self.title)}" '
            f'font-family="{family}">{paper}{body}</svg>'
        )

    def texts(self) -> list[str]:
        """All texts that are drawn, the title among them."""
        return [self.title, *(shape.text for shape in self.shapes if isinstance(shape, Words))]


def _moved(shape: Shape, x: float, y: float, scale: float) -> Shape:
    if isinstance(shape, Line):
        points = [(x + scale * a, y + scale * b) for a, b in shape.points]
        return replace(shape, points=points, width=shape.width * scale)
    left, top = x + scale * shape.x, y + scale * shape.y
    if isinstance(shape, Box):
        return replace(shape, x=left, y=top, width=shape.width * scale, height=shape.height * scale)
    if isinstance(shape, Dot):
        return replace(shape, x=left, y=top, radius=shape.radius * scale)
    return replace(shape, x=left, y=top, size=shape.size * scale)


def _svg_shape(shape: Shape, inks: dict[str, str]) -> str:
    if isinstance(shape, Words):
        return _svg_words(shape, inks)
    note = f"<title>{escape(shape.note)}</title>" if shape.note else ""
    color = inks[shape.color]
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.2f}" '
            f'height="{shape.height:.2f}" fill="{color}"{_opacity(shape.opacity)}>{note}</rect>'
        )
    if isinstance(shape, Dot):
        return _svg_dot(shape, color, note)
    dash = ' stroke-dasharray="4 4"' if shape.dashed else ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{shape.width:g}" '
        f'stroke-linejoin="round"{dash}>{note}</polyline>'
    )


def _svg_dot(dot: Dot, color: str, note: str) -> str:
    if dot.ring:
        paint = f'fill="none" stroke="{color}" stroke-width="{max(1.2, dot.radius / 3):.2g}"'
    else:
        paint = f'fill="{color}"{_opacity(dot.opacity)}'
    return f'<circle cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{dot.radius:.3g}" {paint}>{note}</circle>'


def _opacity(opacity: float) -> str:
    return "" if opacity == 1 else f' fill-opacity="{opacity:.3g}"'


def _svg_words(words: Words, inks: dict[str, str]) -> str:
    ink = inks[words.color]

    turn = f' transform="rotate(-90 {words.x:.1f} {words.y:.1f})"' if words.upright else ""
    weight = ' font-weight="600"' if words.bold else ""
    place = (
        f'<text x="{words.x:.1f}" y="{words.y:.1f}" text-anchor="{words.anchor}" '
        f'font-size="{words.size:g}"{weight}{turn}'
    )
    text = f'{place} fill="{ink}">{escape(words.text)}</text>'
    if not words.halo:
        return text
    # A text below it, for renderers that do not know paint-order.
    ground = inks[PAPER]
    outline = f'fill="{ground}" stroke="{ground}" stroke-width="3.5" stroke-linejoin="round"'
    return f'{place} aria-hidden="true" {outline}>{escape(words.text)}</text>{text}'
