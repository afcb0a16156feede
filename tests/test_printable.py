"""Names of unknown origin on the screen: what steers a terminal is escaped, letters stay."""

import unicodedata
from pathlib import Path

import pytest

from bestiary.printable import place_name, printable, printable_name

ORDINARY = [
    "Steller\u2019s jay",
    "café",
    "cafe\u0301",  # a combining accent
    "рысь",
    "山猫\u3000ヤマネコ",
    "وشق",
    "می\u200cروم",  # a zero-width non-joiner, which Persian needs
    "हिन्दी",
    "🐻\u200d❄\ufe0f",  # a polar bear: two emoji, a joiner and a variation selector
    "a\u00a0b",
    r"C:\new",
]
STEERING = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2060\u2066\u2067\u2068\u2069\ufeff\ufff9\ufffe\uffff\udc80\udfff\U000e0041",
]


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_stay(name: str) -> None:
    assert printable_name(name) == name
    assert printable(name) == name


@pytest.mark.parametrize("control", STEERING, ids=lambda control: f"{ord(control):x}")
def test_controls_are_visible(control: str) -> None:
    shown = printable_name(f"a{control}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


def test_lines_of_a_text_stay() -> None:
    assert printable("two\n\tlines\x1b[2J") == "two\n\tlines\\x1b[2J"


def test_every_control_of_unicode_is_escaped() -> None:
    """Of the categories Cc and Cs none is left, and of the directions none."""
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for code in range(0x110000):
        character = chr(code)
        is_control = unicodedata.category(character) in ("Cc", "Cs")
        if is_control or unicodedata.bidirectional(character) in directions:
            assert printable_name(character) != character, hex(code)


def test_places_are_as_one_types_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert place_name(folder / "run" / "labels") == str(Path("run/labels"))
    assert place_name("run/labels") == "run/labels"
    for other in (folder, tmp_path / "work2" / "run", tmp_path, folder / "-q", "s3://bucket/run"):
        assert place_name(other) == str(other)
    assert place_name(folder / "red\x1b[31m") == "red\\x1b[31m"
    monkeypatch.chdir("/")
    assert place_name("/home/run") == "/home/run"


def test_places_without_a_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert place_name("/home/run") == "/home/run"
    monkeypatch.chdir(tmp_path)
