"""Class names of any origin in figures, pages and Markdown: shown literally, never acted on."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from markdown_it import MarkdownIt

import bestiary
from bestiary.evaluation.results import read_results
from bestiary.reporting import run_page
from bestiary.reporting.charts.axes import Axes
from bestiary.reporting.charts.chart import cut, letters
from bestiary.reporting.charts.forest import ForestRow, Reference, forest
from bestiary.reporting.charts.scores import confusion_drawing
from bestiary.reporting.drawing import INK, Drawing
from bestiary.reporting.figure_files import summary_drawing
from bestiary.reporting.markdown import code_block, escape_markdown, markdown_table
from bestiary.reporting.sections import Table
from bestiary.run.run import Run

FORBIDDEN = [chr(code) for code in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF, 0xD800)]
HOSTILE = ["a\x00\x1b[31m]]>&<b>\x0b", "\ud800\udfff\ufffe\uffff'\"", "\u202ecte\x85\r\n\t"]
MARKUP = [
    "*a* **b** _c_ __d__",
    "_a_b_ _рысь_ _a _b_c d_",
    "`code` ``more``",
    "[link](http://x.org) ![image](y.png) [ref]",
    "<b>bold</b> <script>alert(1)</script> <!-- x -->",
    "a|b||c",
    "# heading",
    "## heading ##",
    "- list",
    "+ list",
    "* list",
    "1. first",
    "12) twelfth",
    "> quotation",
    "---",
    "- - -",
    "***",
    "===",
    "~~struck~~ ~one~",
    "&amp; &#42; &copy;",
    "\\*not\\*",
    "\\",
    "http://x.org www.x.org a@x.org",
    "$x^2$",
    "[^1]",
    "```",
    "a `b\\` c",
    "Felis (lynx) 0.5 - 1.5 + 2",
]


@pytest.fixture
def markdown() -> MarkdownIt:
    """A renderer with what GitHub adds to CommonMark, as far as this library has it."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


class Text(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:  # type: ignore[type-arg]
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def drawings(results, names: list[str]) -> list[Drawing]:  # type: ignore[no-untyped-def]
    """All charts of a report, and some with the names in every place that takes a text."""
    charts = run_page.Findings.of(results).charts().values()
    shown = [chart.drawing for chart in charts]
    shown += [chart.narrow for chart in charts if chart.narrow]
    shown.append(confusion_drawing(np.ones((3, 3), np.int64), names, names[0]))
    shown.append(summary_drawing(results, {chart.name: chart for chart in charts}))
    rows = [ForestRow(name, 0.5, 0.1, 0.9, name, name) for name in names]
    for narrow in (False, True):
        references = [Reference(0.5, names[1])]
        shown.append(forest(names[0], rows, (0, 1), references, narrow=narrow))
    axes = Axes(names[0], (0, 1), (0, 1), (names[1], names[2]))
    axes.line([0, 1], [0, 1], INK, names[1])
    axes.dot(0, 0, INK, (0, 1), names[0])
    drawing = Drawing(10, 10, "".join(names))
    for name in names:
        drawing.words(1, 1, name, halo=True)
        drawing.line([(0, 0), (1, 1)], note=name)
        drawing.box(0, 0, 1, 1, INK, note=name)
        drawing.dot(0, 0, 1, INK, note=name)
    return [*shown, drawing, axes.drawing]


def test_figures_are_valid_xml(renamed: Callable[..., Run]) -> None:
    results = read_results(renamed("a\x1b\x08&<", "b\ufffe\x00\x0c"))
    for drawing in drawings(results, HOSTILE):
        for themed in (True, False):
            svg = drawing.svg(themed=themed)
            ElementTree.fromstring(svg)
            svg.encode("utf-8")
            assert not any(character in svg for character in "\x1b\u202e\x85")


@pytest.mark.parametrize("character", FORBIDDEN, ids=lambda character: f"{ord(character):x}")
def test_what_xml_forbids_is_visible(character: str) -> None:
    drawing = Drawing(10, 10, "title")
    drawing.words(1, 1, f"a{character}b")
    text = ElementTree.fromstring(drawing.svg(themed=False))[-1].text
    assert text == f"a{character.encode('unicode_escape').decode()}b"


def test_ordinary_names_stay_in_figures() -> None:
    names = ["山猫", "Ж & <b>", "وشق"]
    drawing = confusion_drawing(np.eye(3, dtype=np.int64), names, "title")
    svg = ElementTree.fromstring(drawing.svg(themed=False))
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert [text for text in texts if text in names] == [name for name in names for _ in range(2)]


def test_names_are_cut_by_their_width() -> None:
    wide, narrow = cut("狼" * 40, 120, 10), cut("a" * 40, 120, 10)
    assert set(wide) == {"狼", "…"} and narrow.endswith("…")
    assert letters(narrow) == pytest.approx(letters(wide), abs=2)
    assert cut("wolf", 120, 10) == "wolf"


def test_long_names_are_cut_on_the_map(renamed: Callable[..., Run]) -> None:
    long = "Nymphalidae, dorsal view of the upper wing, " * 3
    results = read_results(renamed(long, "short"))
    drawing = run_page.Findings.of(results).charts()["map"].drawing
    texts = [x.text for x in ElementTree.fromstring(drawing.svg(themed=False)).iter() if x.text]
    assert any(text.startswith("Nymphalidae") and text.endswith("…") for text in texts)
    assert "short" in texts


def test_page_has_no_control_characters(renamed: Callable[..., Run]) -> None:
    run = renamed("a\x1b[31m\u202e\x00b")
    page = bestiary.report(run.path, no_saliency=True, quiet=True).files[0].read_text("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)
    assert "a\\x1b[31m\\u202e\\x00b" in page
    for svg in re.findall("<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


@pytest.mark.parametrize("name", MARKUP)
def test_markdown_shows_names_literally(name: str, markdown: MarkdownIt) -> None:
    text = Text(markdown.render(escape_markdown(name)))
    assert text.tags == {"p"}
    assert text.text.strip() == name
    title = Text(markdown.render(f"# {escape_markdown(name)}"))
    assert title.tags == {"h1"}
    assert title.text.strip() == name


@pytest.mark.parametrize("name", MARKUP)
def test_markdown_cells_show_names_literally(name: str, markdown: MarkdownIt) -> None:
    page = markdown.render(markdown_table(Table((name, "b"), [(name, "1"), ("c", name)])))
    assert Text(page).tags == {"table", "thead", "tbody", "tr", "th", "td"}
    cells = re.findall("<t[hd]>(.*?)</t[hd]>", page)
    assert list(map(unescape, cells)) == [name, "b", name, "1", "c", name]


def test_markdown_breaks_what_github_makes_a_link() -> None:
    """The library here finds no links without brackets; GitHub does."""
    escaped = escape_markdown("http://x.org www.x.org a@x.org")
    assert escaped == r"http\://x.org www\.x.org a\@x.org"


def test_markdown_leaves_numbers_and_letters() -> None:
    plain = "0.5 to 1.5 %, -2 and +3; 3:02:11 (Felis), рысь 山猫, near_duplicates.csv"
    assert escape_markdown(plain) == plain
    assert escape_markdown("a\x1b\nb") == r"a\\x1b\\nb"


def test_markdown_report_with_hostile_names(
    renamed: Callable[..., Run], markdown: MarkdownIt
) -> None:
    run = renamed("*a* [b](c) <i>|\x1b`", "---")
    files = bestiary.report(run.path, format="md", quiet=True).files
    page = Text(markdown.render(files[0].read_text("utf-8")))
    assert page.tags.isdisjoint({"em", "a", "i", "hr"})
    assert "*a* [b](c) <i>|\\x1b`" in page.text
    for figure in files[1:]:
        ElementTree.parse(figure)


def test_command_in_markdown_is_to_be_copied(markdown: MarkdownIt) -> None:
    command = "bestiary train 'a``` b' *x*"
    page = Text(markdown.render(code_block(command)))
    assert page.text.strip() == command
    assert page.tags == {"pre", "code"}
