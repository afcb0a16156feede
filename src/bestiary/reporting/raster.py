"""A drawing -> a PNG image, without a browser: Pillow draws it at twice its size.

Letters come from fonts of this machine where they have them, else from the font of Pillow, which
has those of Latin. A letter that no font has is an empty box; the SVG file has it as text.
"""

from dataclasses import replace
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bestiary.numbers import NO_BREAK
from bestiary.reporting.drawing import COLORS, PAPER, Box, Dot, Drawing, Line, Words
from bestiary.reporting.fonts import installed_files

SCALE = 2.0
BOLD_FROM = 26  # pixels of a letter: smaller ones would become blots
DASH = 4.0  # units of a dash, and of the gap after it
MAX_FONTS = 12  # installed ones that are tried for a letter
_NOT_PLAIN = ("bold", "oblique", "italic", "mono", "condensed", "light", "serif", "math", "thin")
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
Font = ImageFont.FreeTypeFont


def png(drawing: Drawing) -> bytes:
    """Render a drawing on white.

    Args:
        drawing: the drawing.

    Returns:
        A PNG file.
    """
    size = (round(drawing.width * SCALE), round(drawing.height * SCALE))
    image = Image.new("RGB", size, "#ffffff")
    for shape in drawing.shapes:
        if isinstance(shape, Words):
            _draw_words(image, replace(shape, text=shape.text.replace(NO_BREAK, " ")))
        else:
            # Opacity needs a pen of its own mode.
            _draw_mark(ImageDraw.Draw(image, "RGBA"), shape)
    stream = BytesIO()
    image.save(stream, "PNG")  # optimized, it would take three times as long for 2 % less
    return stream.getvalue()


def _draw_mark(pen: ImageDraw.ImageDraw, shape: Line | Box | Dot) -> None:
    if isinstance(shape, Box):
        left, top = shape.x * SCALE, shape.y * SCALE
        right = max(left, left + shape.width * SCALE - 1)
        bottom = max(top, top + shape.height * SCALE - 1)
        pen.rectangle((left, top, right, bottom), fill=_rgba(shape.color, shape.opacity))
    elif isinstance(shape, Dot):
        x, y, r = shape.x * SCALE, shape.y * SCALE, shape.radius * SCALE
        if shape.ring:
            width = max(2, round(r / 3))
            pen.ellipse((x - r, y - r, x + r, y + r), outline=COLORS[shape.color], width=width)
        else:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=_rgba(shape.color, shape.opacity))
    else:
        _draw_line(pen, shape)


def _draw_line(pen: ImageDraw.ImageDraw, line: Line) -> None:
    points = [(x * SCALE, y * SCALE) for x, y in line.points]
    width = max(1, round(line.width * SCALE))
    if not line.dashed:
        pen.line(points, fill=COLORS[line.color], width=width, joint="curve")
        return
    for start, end in pairwise(points):
        _draw_dashes(pen, start, end, COLORS[line.color], width)


def _draw_dashes(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    width: int,
) -> None:
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
    step = DASH * SCALE
    for number in range(0, int(length / step) + 1, 2):
        parts = [min(1.0, (number + more) * step / max(length, 1e-9)) for more in (0, 1)]
        ends = [
            (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
            for part in parts
        ]
        pen.line(ends, fill=color, width=width)


def _draw_words(image: Image.Image, words: Words) -> None:
    size = max(6, round(words.size * SCALE))
    font = _font_for(words.text, size)
    color = COLORS[words.color]
    # A little more ink stands for bold, which the font may lack.
    stroke = 1 if words.bold and size > BOLD_FROM else 0
    x, y = words.x * SCALE, words.y * SCALE
    pen = ImageDraw.Draw(image)
    if not words.upright:
        anchor = _ANCHORS[words.anchor]
        if words.halo:
            pen.text((x, y), words.text, COLORS[PAPER], font, anchor, stroke_width=5)
        pen.text((x, y), words.text, color, font, anchor, stroke_width=stroke, stroke_fill=color)
        return
    box = font.getbbox(words.text, anchor="ls")
    width, height = int(box[2]) + 2, int(box[3] - box[1]) + 4
    tile = Image.new("L", (max(1, width), max(1, height)), 0)
    ImageDraw.Draw(tile).text((0, -box[1] + 1), words.text, 255, font, "ls")
    turned = tile.rotate(90, expand=True)
    shift = {"start": width, "middle": width / 2, "end": 0}[words.anchor]
    place = (round(x + box[1]), round(y - shift))
    image.paste(Image.new("RGB", turned.size, color), place, turned)


def _font_for(text: str, size: int) -> Font:
    """The first font that has most of the letters."""
    return _sized(_best_font(frozenset(text)), size)


@cache
def _best_font(letters: frozenset[str]) -> Path | None:
    best: Path | None = None
    most = -1
    for file in (*_files(), None):
        found = sum(_has(_sized(file, 24), letter) for letter in letters)
        if found > most:
            best, most = file, found
        if found == len(letters):
            break
    return best


@cache
def _files() -> tuple[Path, ...]:
    names = [(file, file.stem.lower()) for file in installed_files()]
    plain = [file for file, name in names if not any(word in name for word in _NOT_PLAIN)]
    return tuple(plain[:MAX_FONTS])


@cache
def _sized(file: Path | None, size: int) -> Font:
    if file is None:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    return ImageFont.truetype(str(file), size)


def _has(font: Font, letter: str) -> bool:
    """Whether a font has a letter: its shape is not that of what no font has."""
    if letter.isspace():
        return True
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def _rgba(color: str, opacity: float) -> tuple[int, int, int, int]:
    code = COLORS[color]
    red, green, blue = (int(code[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue, round(255 * opacity)
