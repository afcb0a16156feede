"""Numbers of README and docs -> those that neither a result nor a fact backs.

A number counts where it has a unit (%, points, times, s, minutes, MB, images/s ...), a decimal
point or a comma, or is one of "7 of 9". It must stand in the results that a comment names, in the
same paragraph, list or table, or above it:

    <!-- from: parts-of-best; recipe-accuracy@fast, seed 0 -->

or in a block of output on the same page, or in docs/facts.toml, with the reason why no script
measures it: a default, a bound, a figure of somebody else. Code, pages that are written from the
code, and what stands between the markers of `blocks` do not count. Numbers in words ("half", "nine
times in ten") are not seen.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.results import Line
from rendering.blocks import NUMBER, TABLE

EVERY_PAGE = "every page"
FROM_KEY = "from"  # in docs/facts.toml: the results of a page that cannot have comments
MIN_REASON = 2  # words
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?:(?!\1).)+\1", re.DOTALL)
ADDRESS = re.compile(r"(?<=\])\([^)\s]*(?: \"[^\"]*\")?\)|https?://\S+|<[a-z/][^>]*>")
FROM = re.compile(r"<!-- from: ([^>]+?) -->")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FROM_CODE = ("docs/map.md", "docs/reference/errors.md")
RECIPES = "docs/reference/recipes.md"  # from the code too, but its comments tell what was measured
WRITTEN_BY = "<!-- written by "

# A number with its sign, as prose has it; no part of a word, of a version or of a power of ten
PLAIN = r"(?<![\w.,^/])(?<![A-Za-z^]-)[\u2212+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?![\w^]|[.,]\d)"
UNITS = r"%|points?|times|s|seconds?|minutes?|hours?|ms|[KMGT]i?B|bytes?|images/s"
LIST = re.compile(
    rf"({PLAIN}(?:(?:, | to | and | or |-|\u2013){PLAIN})*)[ \u00a0](?:{UNITS})(?![\w/])"
)
SHARE = re.compile(rf"({PLAIN}) of (?:the |its )?({PLAIN})(?! (?:{UNITS}))")
WRITTEN_OUT = re.compile(rf"{PLAIN}")


@dataclass(frozen=True)
class Figure:
    """A number of a page.

    Attributes:
        text: as it is printed, without its unit.
        unit: its unit; "of" with the whole for a share of a count, such as "of 25"; or nothing.
        value: the number.
        step: that of its last digit.
    """

    text: str
    unit: str
    value: float
    step: float

    @property
    def words(self) -> str:
        """The number with its unit, as docs/facts.toml names it."""
        return f"{self.text} {self.unit}".strip()


def figure(text: str, unit: str) -> Figure:
    """Read a printed number.

    Example:
        >>> figure("9,600", "images/s").value, figure("+0.8", "points").step
        (9600.0, 0.1)
    """
    plain = text.replace(",", "").lstrip("+\u2212")
    mantissa, _, power = plain.partition("e")
    step = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    return Figure(text, unit, float(plain), step)


def without_code(text: str) -> str:
    """Remove what no reader takes for a statement: code, addresses, generated tables."""
    for pattern in (TABLE, NUMBER, FENCE):
        text = pattern.sub("\n", text) if pattern is FENCE else pattern.sub("", text)
    return ADDRESS.sub("", CODE.sub("CODE", text))


def chunks(text: str) -> Iterator[tuple[str, str]]:
    """Split a page into paragraphs, lists and tables, each with what its comment says."""
    waiting = ""
    for part in re.split(r"\n\s*\n", without_code(text)):
        said = "; ".join(FROM.findall(part))
        plain = COMMENT.sub("", part).strip()
        if plain:
            yield plain, "; ".join(filter(None, (waiting, said)))
            waiting = ""
        elif said:
            waiting = said


def figures(chunk: str) -> list[Figure]:
    """List the numbers of a paragraph that need a source, in their order.

    Example:
        >>> [one.words for one in figures("Of 36 copies 35 to 36 % were found in 1,234 files.")]
        ['35 %', '36 %', '1,234']
    """
    flat = " ".join(chunk.split())
    found: dict[int, Figure] = {}
    for match in LIST.finditer(flat):
        unit = match[0][len(match[1]) :].strip()
        every = list(WRITTEN_OUT.finditer(match[1]))
        for one in every:
            # Of "0.951, 95 %" the unit is that of the last number alone
            is_whole = "." not in one[0] and "," not in one[0]
            of = unit if one is every[-1] or is_whole else ""
            found[match.start() + one.start()] = figure(one[0], of)
    for match in SHARE.finditer(flat):
        found.setdefault(match.start(1), figure(match[1], f"of {match[2]}"))
        found.setdefault(match.start(2), figure(match[2], ""))
    for match in WRITTEN_OUT.finditer(flat):
        if "." in match[0] or "," in match[0]:
            found.setdefault(match.start(), figure(match[0], ""))
    return [found[start] for start in sorted(found)]


def backed(wanted: Figure, lines: Sequence[Line]) -> bool:
    """Whether a number is one of the results', rounded as it is printed."""
    return any(
        abs(abs(value) * scale - wanted.value) <= wanted.step * 0.5000001
        for line in lines
        for value in _numbers(line)
        for scale in _scales(wanted.unit)
    )


def _scales(unit: str) -> tuple[float, ...]:
    """What a recorded number is multiplied by to be shown in a unit."""
    if unit in ("%", "point", "points", ""):
        return 1.0, 100.0
    if unit.startswith("of "):
        whole = unit.removeprefix("of ").replace(",", "")
        return (1.0, float(whole)) if whole.replace(".", "").isdigit() else (1.0,)
    if unit.startswith("minute"):
        return 1.0, 1 / 60
    return (1.0,)


def _numbers(line: Line) -> Iterator[float]:
    for value in line.values:
        yield from (part for part in (value.median, value.low, value.high) if part is not None)
    yield from (float(count) for count in (line.n, line.data and line.data.n) if count)


def named_lines(said: str, lines: Sequence[Line]) -> list[Line]:
    """Find the results that a comment names.

    Raises:
        ValueError: there is none such.
    """
    found = []
    for name in filter(None, map(str.strip, said.split(";"))):
        claim, _, case = name.partition("@")
        of = [line for line in lines if line.claim == claim and case in ("", line.case)]
        if not of:
            raise ValueError(f"no result {name}")
        found += of
    return found


def read_facts(file: Path) -> dict[str, dict[str, str]]:
    """Read what needs no measurement: page, or "every page" -> number -> reason.

    Raises:
        ValueError: a number has no reason of some words.
    """
    facts = tomllib.loads(file.read_text(encoding="utf-8"))
    for page, of in facts.items():
        for number, reason in of.items():
            is_said = isinstance(reason, str) and len(reason.split()) >= MIN_REASON
            if not is_said and number != FROM_KEY:
                raise ValueError(f"{file.name}: {page}: {number} needs a reason in words")
    return facts


def is_from_code(page: str, text: str) -> bool:
    """Whether the numbers of a page are those of the code: defaults, bounds, examples of errors."""
    return page in FROM_CODE or (WRITTEN_BY in text and page != RECIPES)


def unbacked(
    pages: Mapping[str, str], lines: Sequence[Line], facts: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Say which numbers of the pages have no source, and which facts no page has.

    Args:
        pages: path -> text.
        lines: results that count.
        facts: what needs none, as `read_facts` returns it.

    Returns:
        A line for each.
    """
    found = []
    used: set[tuple[str, str]] = set()
    for page, text in pages.items():
        if is_from_code(page, text):
            continue
        shown = {one[0] for block in OUTPUT.findall(text) for one in WRITTEN_OUT.finditer(block)}
        whole_page = facts.get(page, {}).get(FROM_KEY, "")
        for chunk, said in chunks(text):
            try:
                sources = named_lines(f"{said}; {whole_page}", lines)
            except ValueError as error:
                found.append(f"{page}: {error}")
                continue
            for one in figures(chunk):
                homes = [
                    (place, one.words)
                    for place in (page, EVERY_PAGE)
                    if one.words in facts.get(place, {})
                ]
                used.update(homes)
                if not homes and one.text not in shown and not backed(one, sources):
                    start = " ".join(chunk.split())[:60]
                    where = f"not in {said}" if said else "no result is named"
                    found.append(f"{page}: {one.words}: {where} ({start}...)")
    known = {(place, number) for place, of in facts.items() for number in of if number != FROM_KEY}
    left = sorted(known - used)
    return found + [f"docs/facts.toml: {place}: no {number} there" for place, number in left]
