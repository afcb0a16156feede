"""Texts -> a PDF document of fpdf2, in the built-in font or in fonts that have their letters."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

from fpdf import FPDF
from fpdf.errors import FPDFException

from bestiary.errors import BestiaryError, one_line
from bestiary.printable import printable_name
from bestiary.reporting.pdf_fonts import choose_faces

BUILT_IN_FONT = "Helvetica"
BUILT_IN_ENCODING = "cp1252"
FAMILY = "embedded"
CELL_BASELINE = 0.3  # below the middle of a cell of fpdf2, in heights of its font


class PdfDocument(FPDF):  # type: ignore[misc]
    """A document that selects the font of each text.

    Args:
        texts: all texts that it will have.
        fonts: font files to look in first for letters that the built-in font lacks.

    Raises:
        BestiaryError: no font has some of the letters, or a library is not installed.
    """

    def __init__(self, texts: Iterable[str], fonts: Sequence[Path]) -> None:
        super().__init__()
        self.core_fonts_encoding = BUILT_IN_ENCODING
        foreign = [text for text in map(_composed, texts) if not _is_built_in(text)]
        self._faces = choose_faces(set("".join(foreign)), fonts)
        if self._faces:
            self._shape_text()
        families = [f"{FAMILY}{index}" for index in range(len(self._faces))]
        with self._font_errors():
            for family, face in zip(families, self._faces, strict=True):
                self.add_font(family, fname=face.file, collection_font_number=face.number)
        self.set_fallback_fonts(families[1:], exact_match=False)

    def _shape_text(self) -> None:
        """Join letters, place marks and turn lines as their script demands."""
        try:
            self.set_text_shaping(True)
        except FPDFException:
            raise BestiaryError(
                "--format pdf: names in other letters need the library uharfbuzz; pip install "
                "'bestiary[report]'"
            ) from None

    def save(self, file: Path) -> None:
        """Write the document to a file.

        Args:
            file: the PDF file.

        Raises:
            BestiaryError: a font is damaged.
        """
        with self._font_errors():
            self.output(str(file))

    @contextmanager
    def _font_errors(self) -> Iterator[None]:
        """Turn errors inside the block into one that names the fonts, if there are any.

        fpdf2 and fontTools fail in many ways on a damaged font.
        """
        try:
            yield
        except OSError:
            raise  # the file cannot be written
        except Exception as error:
            if not self._faces:
                raise
            files = ", ".join(str(face.file) for face in self._faces)
            raise BestiaryError(
                f"--format pdf: one of the fonts {files} cannot be embedded ({one_line(error)}); "
                "name other ones: --font FILE.ttf"
            ) from None

    def select_font(self, text: str, size: float, style: str = "") -> str:
        """Select the font of a text.

        Args:
            text: the text.
            size: size of the font in points.
            style: B, I or empty; for the built-in font only.

        Returns:
            The text to write: control characters as escapes, a letter and its accent as one.
        """
        text = _composed(text)
        if _is_built_in(text):
            self.set_font(BUILT_IN_FONT, style, size)
        else:
            self.set_font(f"{FAMILY}0", "", size)
        return text

    def set_font(self, *arguments: Any, **options: Any) -> None:
        """Select a font, and write that to the page at once.

        fpdf2 would write it with the next line. If that line begins in another font, the selection
        ends with it, and later lines have the wrong letters.
        """
        super().set_font(*arguments, **options)
        if self.page > 0 and not self.current_font_is_set_on_page:
            self.text(self.x, self.y, "")

    def write_line(self, text: str, x: float, y: float, size: float, anchor: float) -> None:
        """Write one line of text.

        Args:
            text: the text.
            x: position of the anchor.
            y: baseline.
            size: size of the font in points.
            anchor: share of the text before the anchor, 0 to 1.
        """
        text = self.select_font(text, size)
        width = self.get_string_width(text)
        # A cell of no height has its baseline below it. Unlike text(), it joins Arabic letters. Its
        # position is set as it is: set_xy() would count a negative one from the other side.
        self.x = x - anchor * width - self.c_margin
        self.y = y - CELL_BASELINE * self.font_size
        self.cell(width + 2 * self.c_margin, 0, text)


def _composed(text: str) -> str:
    return normalize("NFC", printable_name(text))


def _is_built_in(text: str) -> bool:
    """Whether the built-in font has all letters of a text."""
    try:
        text.encode(BUILT_IN_ENCODING)
    except UnicodeEncodeError:
        return False
    return True
