"""Characters of a report -> font files of this machine that have them.

The fonts are those that the user names, then those that are installed, in an order that depends on
nothing else. Knows nothing of the report.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bestiary.errors import ArgumentError, BestiaryError, one_line

SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
MAX_FONT_BYTES = 128_000_000  # the largest fonts of China, Japan and Korea are below it
MAX_FONT_FILES = 10_000  # installed ones that are looked at
MAX_FACES = 64  # of a collection
MAX_SHOWN = 8  # characters that an error names
REGULAR_WEIGHT = 400
NORMAL_WIDTH = 5
FORBIDS_EMBEDDING = 2  # of the field fsType
FC_LIST_SECONDS = 30
# Families that suit a report, best first; all others come after them, the smallest file first.
PREFERRED = ("dejavusans", "notosans", "liberationsans", "arial", "segoeui", "freesans")
# Fonts of empty boxes.
PLACEHOLDERS = ("lastresort", "adobeblank", "adobenotdef")
# A font need not have them: they join letters, or choose between two shapes of one.
_IGNORABLE = frozenset([0x200C, 0x200D, 0x034F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])


@dataclass(frozen=True, slots=True)
class Face:
    """A font of a file.

    Attributes:
        file: the file.
        number: of the font in a collection; else 0.
    """

    file: Path
    number: int


def choose_faces(characters: Iterable[str], named: Sequence[Path]) -> list[Face]:
    """Choose fonts that have all characters.

    Args:
        characters: what is to be shown.
        named: font files to look in first.

    Returns:
        As few fonts as the order allows; each has a character that those before it lack.

    Raises:
        ArgumentError: a named file is no font.
        BestiaryError: no font has some of the characters.
    """
    missing = {ord(character) for character in characters} - _IGNORABLE
    chosen: list[Face] = []
    # All named files are read, for a wrong one is never ignored.
    named_faces = [face for file in named for face in _named_faces(file)]
    for face, codes in chain(named_faces, _installed_faces()):
        if not missing:
            break
        if not missing.isdisjoint(codes):
            missing -= codes
            chosen.append(face)
    if missing:
        raise BestiaryError(_describe_missing(missing))
    return chosen


def _describe_missing(missing: set[int]) -> str:
    # What no font has is rarely the letters of ASCII.
    codes = sorted(missing, key=lambda code: (code < 0x80, code))
    shown = [f"{chr(code)} (U+{code:04X})" for code in codes[:MAX_SHOWN]]
    more = f" and {len(missing) - MAX_SHOWN:,} more" if len(missing) > MAX_SHOWN else ""
    return (
        f"--format pdf: no font here has {' '.join(shown)}{more}; name one that has: --font "
        "FILE.ttf, install one (Debian: apt install fonts-noto-core fonts-noto-cjk "
        "fonts-noto-color-emoji), or use --format html or md"
    )


def _installed_faces() -> Iterator[tuple[Face, set[int]]]:
    """The installed fonts with the characters of each: regular fonts before all others."""
    files = installed_files()
    for regular in (True, False):
        for file in files:
            yield from _faces_of(file, regular=regular)


def installed_files() -> list[Path]:
    """List the font files of this machine, those that suit a report first."""
    return sorted(set(_installed_files()), key=_preference)


def _named_faces(file: Path) -> list[tuple[Face, set[int]]]:
    if file.suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"--font {file}: must be the name of a {', '.join(SUFFIXES)} file")
    if not file.is_file():
        raise ArgumentError(f"--font {file}: no such file; check the path")
    if file.stat().st_size > MAX_FONT_BYTES:
        raise ArgumentError(
            f"--font {file}: larger than {MAX_FONT_BYTES / 1e6:.0f} MB; name a smaller font"
        )
    try:
        return [(Face(file, number), _codes(font)) for number, font in _read_faces(file)]
    except Exception as error:  # fontTools fails in many ways on damaged fonts
        raise ArgumentError(
            f"--font {file}: is no font ({one_line(error)}); name another"
        ) from None


def _faces_of(file: Path, *, regular: bool) -> Iterator[tuple[Face, set[int]]]:
    """The fonts of an installed file; none if it is damaged, too large or may not be embedded."""
    try:
        if not file.is_file() or file.stat().st_size > MAX_FONT_BYTES:
            return
        for number, font in _read_faces(file):
            may_embed = font["OS/2"].fsType & 0xF != FORBIDS_EMBEDDING
            if may_embed and _is_regular(font) == regular:
                yield Face(file, number), _codes(font)
    except Exception:  # fontTools fails in many ways on damaged fonts, and another one may do
        return


def _read_faces(file: Path) -> Iterator[tuple[int, Any]]:
    """Open the fonts of a file, one after the other; tables are read on access."""
    from fontTools.ttLib import TTFont

    count = 1
    with file.open("rb") as stream:
        if stream.read(4) == b"ttcf":
            stream.seek(8)
            count = int.from_bytes(stream.read(4), "big")
    for number in range(min(count, MAX_FACES)):
        # Given a name, fontTools leaves a damaged file open.
        with file.open("rb") as stream, TTFont(stream, fontNumber=number, lazy=True) as font:
            yield number, font


def _codes(font: Any) -> set[int]:
    """The characters that a font has."""
    return set(font.getBestCmap() or ())


def _is_regular(font: Any) -> bool:
    """Whether a font is neither bold, italic, narrow nor of typewriter letters."""
    style = font["OS/2"]
    is_italic = bool(style.fsSelection & 1)
    is_plain = style.usWeightClass == REGULAR_WEIGHT and style.usWidthClass == NORMAL_WIDTH
    return is_plain and not is_italic and not font["post"].isFixedPitch


def _preference(file: Path) -> tuple[int, int, str]:
    name = _plain_name(file)
    ranks = [rank for rank, family in enumerate(PREFERRED) if name.startswith(family)]
    try:
        size = file.stat().st_size
    except OSError:
        size = 0
    return min(ranks, default=len(PREFERRED)), size, str(file)


def _plain_name(file: Path) -> str:
    return file.name.lower().replace("-", "").replace("_", "")


def _installed_files() -> list[Path]:
    """The font files of this machine, without those that show an empty box for everything."""
    files: list[Path] = []
    for folder in _font_folders():
        for place, _, names in os.walk(folder):
            files += [Path(place) / name for name in names if name.lower().endswith(SUFFIXES)]
    files += _fontconfig_files()
    return [file for file in files if not _plain_name(file).startswith(PLACEHOLDERS)][
        :MAX_FONT_FILES
    ]


def _font_folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft/Windows/Fonts"
        return [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts", local]
    shared = os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":")
    own = os.environ.get("XDG_DATA_HOME", str(home / ".local/share"))
    return [*(Path(folder) / "fonts" for folder in (*shared, own) if folder), home / ".fonts"]


def _fontconfig_files() -> list[Path]:
    """The font files that fontconfig knows; none where it is not installed."""
    program = shutil.which("fc-list")
    if program is None:
        return []
    try:
        listed = subprocess.run(
            [program, "--format", "%{file}\n"],
            capture_output=True,
            text=True,
            timeout=FC_LIST_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return [Path(line) for line in listed.splitlines() if line.lower().endswith(SUFFIXES)]
