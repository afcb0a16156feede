"""The PDF report: letters of all scripts, in fonts that the tests make themselves."""

import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import bestiary
from bestiary.errors import ArgumentError, BestiaryError
from bestiary.reporting import pdf_fonts
from bestiary.reporting.pdf_fonts import Face, choose_faces
from bestiary.run.run import Run

pytest.importorskip("fpdf", reason="extra `report` is not installed")

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont

from bestiary.reporting.pdf_document import PdfDocument

MakeFont = Callable[..., Path]
LATIN = "".join(map(chr, range(0x20, 0x7F)))
CYRILLIC = "рысь"
CHINESE = "山猫狼"


@pytest.fixture
def shaping() -> None:
    pytest.importorskip("uharfbuzz", reason="uharfbuzz, of the extra `report`, is not installed")


@pytest.fixture
def make_font(tmp_path: Path) -> MakeFont:
    """Writes a font whose letters are boxes."""

    def make(name: str, letters: str, weight: int = 400, embedding: int = 0) -> Path:
        glyphs = [".notdef", *(f"u{ord(letter):04X}" for letter in letters)]
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for corner in ((0, 700), (500, 700), (500, 0)):
            pen.lineTo(corner)
        pen.closePath()
        box = pen.glyph()
        font = FontBuilder(1000, isTTF=True)
        font.setupGlyphOrder(glyphs)
        font.setupCharacterMap({ord(letter): f"u{ord(letter):04X}" for letter in letters})
        font.setupGlyf(dict.fromkeys(glyphs, box))
        font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
        font.setupHorizontalHeader(ascent=800, descent=-200)
        font.setupNameTable({"familyName": name, "styleName": "Regular"})
        font.setupOS2(usWeightClass=weight, fsType=embedding)
        font.setupPost()
        file = tmp_path / f"{name}.ttf"
        font.save(file)
        return file

    return make


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the fonts of this machine; there are none until it is called."""

    def install(*files: Path) -> None:
        monkeypatch.setattr(pdf_fonts, "_installed_files", lambda: list(files))

    install()
    return install


def streams(file: Path) -> str:
    """All streams of a PDF that are text, joined."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file.read_bytes(), re.DOTALL):
        try:
            found.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            found.append(stream.decode("latin-1"))
    return "\n".join(found)


def letters_of(file: Path) -> str:
    """The letters that the embedded fonts of a PDF map back to text."""
    pairs = re.findall(r"^<[0-9A-F]{4}> <([0-9A-F]{4})>$", streams(file), re.MULTILINE)
    return "".join(chr(int(code, 16)) for code in pairs)


def fonts_used(content: str) -> list[str]:
    """The font of each text in a page's content, as a viewer would select it."""
    font = ""
    saved: list[str] = []
    used = []
    for token in re.finditer(r"/(F\d+) [\d.]+ Tf|(?<!\S)([qQ])(?!\S)|[\])>] (?:Tj|TJ)", content):
        if token[1]:
            font = token[1]
        elif token[2] == "q":
            saved.append(font)
        elif token[2] == "Q":
            font = saved.pop()
        elif "() Tj" not in content[token.start() - 1 : token.end()]:
            used.append(font)
    return used


def test_western_names_need_no_font(
    renamed: Callable[..., Run], installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uharfbuzz", None)
    run = renamed("Steller\u2019s jay", "cafe\u0301 \u20ac \u2013")
    file = bestiary.report(run.path, format="pdf", quiet=True).files[0]
    content = streams(file)
    assert b"/FontFile" not in file.read_bytes()
    assert "Steller\x92s jay" in content
    assert "caf\xe9 \x80 \x96" in content
    assert "?" not in "".join(re.findall(r"\((.*?)\) Tj", content))


@pytest.mark.usefixtures("shaping", "installed")
def test_other_letters_are_embedded(renamed: Callable[..., Run], make_font: MakeFont) -> None:
    run = renamed(CYRILLIC, CHINESE)
    fonts = [make_font("first", LATIN + CYRILLIC), make_font("second", CHINESE)]
    file = bestiary.report(run.path, format="pdf", font=fonts, quiet=True).files[0]
    assert set(CYRILLIC + CHINESE) <= set(letters_of(file))
    assert file.read_bytes().count(b"/FontFile2") == 2


@pytest.mark.usefixtures("shaping")
def test_installed_fonts_are_found(
    renamed: Callable[..., Run], make_font: MakeFont, installed: Callable[..., None]
) -> None:
    installed(make_font("here", LATIN + CYRILLIC))
    file = bestiary.report(renamed(CYRILLIC).path, format="pdf", quiet=True).files[0]
    assert set(CYRILLIC) <= set(letters_of(file))


@pytest.mark.usefixtures("installed")
def test_letters_without_a_font_are_refused(
    renamed: Callable[..., Run],
    make_font: MakeFont,
    fails: Callable[..., str],
    tmp_path: Path,
) -> None:
    run = renamed(CHINESE, CYRILLIC)
    font = make_font("latin", LATIN + CYRILLIC)
    out = tmp_path / "r.pdf"
    line = fails("report", run.path, "--format", "pdf", "--out", out, "--font", font, "--quiet")
    assert "no font here has 山 (U+5C71) 狼 (U+72FC) 猫 (U+732B); name one" in line
    assert "--font FILE.ttf" in line
    assert not out.exists()
    for layout in ("html", "md"):
        text = bestiary.report(run.path, format=layout, no_saliency=True, quiet=True).files[0]
        assert CHINESE in text.read_text("utf-8")


@pytest.mark.usefixtures("installed")
def test_other_letters_need_a_library(
    renamed: Callable[..., Run],
    make_font: MakeFont,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uharfbuzz", None)
    run = renamed(CYRILLIC)
    font = make_font("first", LATIN + CYRILLIC)
    line = fails("report", run.path, "--format", "pdf", "--font", font, "--quiet")
    assert "needs" not in line.partition("uharfbuzz")[2]
    assert "pip install 'bestiary[report]'" in line


@pytest.mark.usefixtures("installed")
def test_files_that_are_no_fonts(
    trained: Run, make_font: MakeFont, fails: Callable[..., str], tmp_path: Path
) -> None:
    def line(file: Path, *options: str) -> str:
        return fails("report", trained.path, "--font", file, "--quiet", *options)

    pdf = ("--format", "pdf", "--out", str(tmp_path / "r.pdf"))
    good = make_font("good", LATIN)
    text = tmp_path / "text.ttf"
    text.write_text("no font")
    assert "only a PDF embeds fonts; add --format pdf" in line(good)
    # All letters of this run are Western, but a wrong option is never ignored.
    assert "is no font" in line(text, *pdf)
    assert "no such file" in line(tmp_path / "missing.ttf", *pdf)
    assert "must be the name of a .ttf" in line(tmp_path, *pdf)
    assert not (tmp_path / "r.pdf").exists()


def test_named_fonts_are_bounded(make_font: MakeFont, monkeypatch: pytest.MonkeyPatch) -> None:
    font = make_font("large", LATIN)
    monkeypatch.setattr(pdf_fonts, "MAX_FONT_BYTES", 100)
    with pytest.raises(ArgumentError, match="larger than"):
        choose_faces("a", [font])


def test_installed_fonts_that_do_not_serve(
    make_font: MakeFont,
    installed: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damaged = tmp_path / "damaged.ttf"
    damaged.write_bytes(make_font("whole", LATIN).read_bytes()[:300])
    protected = make_font("protected", LATIN, embedding=2)
    installed(damaged, protected, tmp_path / "missing.ttf")
    with pytest.raises(BestiaryError, match=r"no font here has a \(U\+0061\)"):
        choose_faces("a", [])
    good = make_font("good", LATIN)
    installed(damaged, protected, good)
    assert choose_faces("a", []) == [Face(good, 0)]
    monkeypatch.setattr(pdf_fonts, "MAX_FONT_BYTES", 100)
    with pytest.raises(BestiaryError, match="no font here"):
        choose_faces("a", [])


def test_fonts_of_empty_boxes_are_left_out(
    make_font: MakeFont, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font = make_font("good", LATIN)
    make_font("LastResort-Regular", LATIN)
    monkeypatch.setattr(pdf_fonts, "_font_folders", lambda: [tmp_path])
    monkeypatch.setattr(pdf_fonts, "_fontconfig_files", list)
    assert pdf_fonts._installed_files() == [font]


def test_order_of_fonts(make_font: MakeFont, installed: Callable[..., None]) -> None:
    """Named ones, then regular before bold, a good family before others, small before large."""
    bold = make_font("DejaVuSans-Bold", LATIN, weight=700)
    large = make_font("large", LATIN + CYRILLIC)
    small = make_font("small", LATIN)
    installed(large, bold, small)
    assert choose_faces("a", []) == [Face(small, 0)]
    assert choose_faces("a" + CYRILLIC, []) == [Face(small, 0), Face(large, 0)]
    known = make_font("DejaVuSans", LATIN + CYRILLIC)
    installed(large, bold, small, known)
    assert choose_faces("a", []) == [Face(known, 0)]
    assert choose_faces("a", [large]) == [Face(large, 0)]
    installed(bold)
    assert choose_faces("a", []) == [Face(bold, 0)]
    assert choose_faces("", []) == []


def test_joiners_need_no_font(make_font: MakeFont, installed: Callable[..., None]) -> None:
    installed(font := make_font("latin", LATIN))
    assert choose_faces("a\u200d\u200c\ufe0f", []) == [Face(font, 0)]


def test_second_font_of_a_collection(
    make_font: MakeFont, installed: Callable[..., None], tmp_path: Path
) -> None:
    collection = TTCollection()
    collection.fonts = [TTFont(make_font("one", LATIN)), TTFont(make_font("two", CHINESE))]
    file = tmp_path / "both.ttc"
    collection.save(file)
    installed(file)
    assert choose_faces(CHINESE, []) == [Face(file, 1)]


@pytest.mark.usefixtures("shaping", "installed")
def test_letters_of_a_collection_are_embedded(make_font: MakeFont, tmp_path: Path) -> None:
    collection = TTCollection()
    collection.fonts = [TTFont(make_font("one", LATIN)), TTFont(make_font("two", CHINESE))]
    font = tmp_path / "both.ttc"
    collection.save(font)
    document = PdfDocument([CHINESE], [font])
    document.add_page()
    document.write_line(CHINESE, 20, 20, 10, 0)
    document.save(tmp_path / "r.pdf")
    assert set(CHINESE) <= set(letters_of(tmp_path / "r.pdf"))


@pytest.mark.usefixtures("shaping", "installed")
def test_each_text_has_its_font(make_font: MakeFont, tmp_path: Path) -> None:
    """A line that begins in the second font leaves the first one to the lines after it."""
    fonts = [make_font("first", LATIN + CYRILLIC), make_font("second", CHINESE)]
    document = PdfDocument([CYRILLIC, CHINESE], fonts)
    document.add_page()
    for text in (CHINESE, CYRILLIC, "western", CHINESE, CHINESE, CYRILLIC):
        document.write_line(text, 20, 20, 10, 0)
    document.save(tmp_path / "r.pdf")
    content = next(part for part in streams(tmp_path / "r.pdf").split("\n2 J") if " Tf" in part)
    first, second, western = (
        f"F{document.fonts[name].i}" for name in ("embedded0", "embedded1", "helvetica")
    )
    assert fonts_used(content) == [second, first, western, second, second, first]


@pytest.mark.usefixtures("shaping", "installed")
def test_damaged_letters_are_refused(make_font: MakeFont, tmp_path: Path) -> None:
    whole = make_font("whole", LATIN + CYRILLIC)
    with TTFont(whole) as font:
        place = font.reader.tables["glyf"]
    content = bytearray(whole.read_bytes())
    content[place.offset : place.offset + place.length] = b"\x01" * place.length
    damaged = tmp_path / "damaged.ttf"
    damaged.write_bytes(content)
    with pytest.raises(BestiaryError, match=r"damaged\.ttf cannot be embedded"):
        document = PdfDocument([CYRILLIC], [damaged])
        document.add_page()
        document.write_line(CYRILLIC, 20, 20, 10, 0)
        document.save(tmp_path / "r.pdf")


def test_text_left_of_the_page_stays_there(tmp_path: Path) -> None:
    """Before it is turned, a long name of an axis begins left of the page."""
    document = PdfDocument([], [])
    document.add_page()
    with document.rotation(90, 10, 100):
        document.write_line("a long name of an axis" * 3, 10, 100, 10, 0.5)
    document.save(tmp_path / "r.pdf")
    positions = re.findall(r"BT (-?[\d.]+) [\d.]+ Td", streams(tmp_path / "r.pdf"))
    assert float(positions[-1]) < 0
