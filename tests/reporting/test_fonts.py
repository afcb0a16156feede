"""Fonts for the letters of a PDF, from fonts that the tests make themselves; the PDF itself."""

import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ImageFile

import bestiary
from bestiary.errors import ArgumentError, BestiaryError
from bestiary.reporting import fonts as report_fonts
from bestiary.reporting import pdf
from bestiary.reporting.fonts import Face, choose_faces
from bestiary.run.run import Run

pytest.importorskip("weasyprint", reason="extra `report` or Pango is not installed")

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont

# Importing WeasyPrint has changed it for the whole process.
ImageFile.LOAD_TRUNCATED_IMAGES = False

MakeFont = Callable[..., Path]
LATIN = "".join(map(chr, range(0x20, 0x7F)))
SIGNS = "\xa0\xb7\u2013\u2026\u2192\u2212"  # that every page has
CYRILLIC = "рысь"
CHINESE = "山猫狼"


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
        monkeypatch.setattr(report_fonts, "_installed_files", lambda: list(files))

    install()
    return install


@pytest.mark.usefixtures("installed")
def test_letters_without_a_font_are_refused(
    renamed: Callable[..., Run],
    make_font: MakeFont,
    fails: Callable[..., str],
    tmp_path: Path,
) -> None:
    run = renamed(CHINESE, CYRILLIC)
    font = make_font("latin", LATIN + SIGNS + CYRILLIC)
    out = tmp_path / "r.pdf"
    line = fails("report", run.path, "--format", "pdf", "--out", out, "--font", font, "--quiet")
    assert "no font here has 山 (U+5C71) 狼 (U+72FC) 猫 (U+732B); name one" in line
    assert "--font FILE.ttf" in line
    assert not out.exists()
    for layout in ("html", "md"):
        text = bestiary.report(run.path, format=layout, no_saliency=True, quiet=True).files[0]
        assert CHINESE in text.read_text("utf-8")


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
    monkeypatch.setattr(report_fonts, "MAX_FONT_BYTES", 100)
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
    monkeypatch.setattr(report_fonts, "MAX_FONT_BYTES", 100)
    with pytest.raises(BestiaryError, match="no font here"):
        choose_faces("a", [])


def test_fonts_of_empty_boxes_are_left_out(
    make_font: MakeFont, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font = make_font("good", LATIN)
    make_font("LastResort-Regular", LATIN)
    monkeypatch.setattr(report_fonts, "_font_folders", lambda: [tmp_path])
    monkeypatch.setattr(report_fonts, "_fontconfig_files", list)
    assert report_fonts._installed_files() == [font]


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


def test_pdf_has_pages_and_its_letters(renamed: Callable[..., Run], tmp_path: Path) -> None:
    """With the fonts of this machine, Cyrillic and Greek are written as themselves."""
    run = renamed("рысь", "λύγξ")
    try:
        choose_faces("рысьλύγξ" + SIGNS, [])
    except BestiaryError:
        pytest.skip("no font of this machine has Cyrillic and Greek")
    file = bestiary.report(
        run.path, out=tmp_path / "r.pdf", format="pdf", no_saliency=True, quiet=True
    ).files[0]
    assert file.read_bytes().startswith(b"%PDF-")
    assert letters_of(file) >= set("рысьλύγξ")


def letters_of(file: Path) -> set[str]:
    """The letters that the embedded fonts of a PDF map back to text."""
    found = set()
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file.read_bytes(), re.DOTALL):
        try:
            text = zlib.decompress(stream).decode("latin-1")
        except zlib.error:
            text = stream.decode("latin-1")
        for code in re.findall(r"<[0-9a-fA-F]{4}> <([0-9a-fA-F]{4,})>", text):
            found |= set(bytes.fromhex(code).decode("utf-16-be", "ignore"))
    return found


def test_missing_library_is_named(
    trained: Run, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    line = fails("report", trained.path, "--format", "pdf", "--quiet")
    assert (
        "pip install 'bestiary[report]' and Debian's libpangoft2-1.0-0, or print report.html"
        in line
    )


def test_pdf_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    fetcher = pdf._fetcher(set())
    for address in (secret.as_uri(), "http://127.0.0.1/x.png", "ftp://127.0.0.1/x"):
        with pytest.raises(ValueError, match="nothing from elsewhere"):
            fetcher.fetch(address)
