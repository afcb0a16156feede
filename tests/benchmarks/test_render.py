"""Results -> pages: states, stale marks, markers of documents; committed pages are current."""

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import render
from accuracy.table import read_results
from harness.results import Line, read_line
from harness.scripts import AREAS, BENCHMARKS
from rendering import blocks
from rendering.figure import bar_drawing, svg_files
from rendering.page import STALE, STALE_COUNT, Row, area_page, index_page
from rendering.staleness import UNKNOWN, changed_since, matches, same_code, why_stale
from rendering.words import measured, number, state

TODAY = date(2026, 11, 28)
MAX_MEAN = 17  # words of a sentence
MAX_CELL = 25  # words
NEVER = ("by hand", "before that day")


CLAIMS = """CLAIMS = {
    "soon": {
        "statement": "it is soon",
        "unit": "s",
        "bar": ("most", 0.35, "one waits"),
        "watches": ("b.py",),
    },
}
"""


def line(claim: str = "help-soon", **changes: Any) -> Line:
    """A result with a bar of 0.35 s at most."""
    fields: dict[str, Any] = {
        "claim": claim,
        "area": "speed",
        "statement": f"It is {claim}",
        "unit": "s",
        "bar": ["most", 0.35, "one does not wait"],
        "values": [{"median": 0.12, "low": 0.11, "high": 0.15}],
        "n": 11,
        "n_of": "processes",
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"torch": "2.14.1"},
        "commit": "1234567",
        "date": "2026-11-27",
        "script": "benchmarks/speed/startup.py",
        "watches": ["src/bestiary/cli/**", "src/bestiary/display.py"],
    }
    return read_line(json.dumps(fields | changes), "test")


def test_missed_stands_first() -> None:
    lines = [line("help"), line("show", values=[{"median": 0.7}]), line("told", bar=None)]
    page = area_page(
        "speed", [Row(lines[0], ""), Row(lines[1], "x.py changed"), Row(lines[2], "")], True
    )
    assert "**1 missed** · 1 met · 1 without a bar" in page
    assert "1 of 3 stale" in page
    missed = page.partition("## Missed")[2].partition("##")[0]
    assert "It is show: **0.7 s**. The bar is at most 0.35." in missed
    assert "It is help" not in missed
    rows = [text for text in page.splitlines() if text.startswith("| [")]
    assert [row.split("](#")[1].split(")")[0] for row in rows] == ["show", "help", "told"]
    assert "0.12 (0.11 to 0.15) s" in rows[1]
    assert '<details id="show">' in page
    assert "Stale: x.py changed." in page
    assert "2 cores of a processor, no GPU" in page


def test_replaced_results_are_counted() -> None:
    rows = [Row(line("help"), "")]
    assert "*Replaced.*" not in area_page("speed", rows, True)
    page = area_page("speed", rows, True, replaced=[line("old", values=[{"median": 0.7}])])
    assert "1 older result is left out for newer ones of the same claim; 1 of them had" in page


def test_first_page_counts_areas() -> None:
    rows = {area: [] for area in AREAS}
    rows["speed"] = [Row(line("show", values=[{"median": 0.7}]), UNKNOWN)]
    page = index_page(rows)
    assert "| [Speed](speed.md) |" in page
    assert "(speed.md#show)" in page
    assert "? | 1 | 0 | 0 |" in page
    assert "not known here, without git" in page
    assert "0 of 1 results are from a GPU." in page


@pytest.mark.parametrize(
    ("changes", "changed", "why"),
    [
        ({}, (), ""),
        ({}, ("README.md", "src/bestiary/cliff.py"), ""),
        ({}, ("src/bestiary/cli/main/app.py",), "app.py changed since 1234567"),
        ({}, ("src/bestiary/display.py",), "display.py changed since 1234567"),
        ({}, None, UNKNOWN),
        ({"versions": {"torch": "2.13.0"}}, (), "measured with PyTorch 2.13"),
        ({"date": "2026-05-01"}, (), "measured 211 days ago"),
    ],
)
def test_what_makes_stale(changes: dict[str, Any], changed: Any, why: str) -> None:
    assert why_stale(line(**changes), TODAY, "2.14.9+cpu", changed) == why


def test_globs() -> None:
    assert matches("src/a/b/c.py", "src/**")
    assert matches("src/a/c.py", "src/a/*.py")
    assert not matches("src/a/b/c.py", "src/a/*.py")
    assert not matches("src/axc.py", "src/a.c.py")


@pytest.mark.parametrize(
    ("path", "old", "new", "same"),
    [
        ("a.py", 'def f():\n    """Old."""\n    return (1)', "def f():  # new\n    return 1", True),
        ("a.py", "def f():\n    return 1", "def f():\n    return 2", False),
        ("a.py", "print('a')", "print('b')", False),
        ("a.py", "x = 1", "x = ", False),
        ("a.toml", "a = 1 # old", "# new\na = 1", True),
        ("a.toml", "a = 1", "a = 2", False),
        ("a.js", "a // old", "a", False),
        ("a.py", CLAIMS, CLAIMS.replace("it is soon", "it is at once"), True),
        ("a.py", CLAIMS, CLAIMS.replace('"b.py"', '"b.py", "c.py"'), True),
        ("a.py", CLAIMS, CLAIMS + "COMMANDS = ('',)\n", True),
        ("a.py", CLAIMS, CLAIMS.replace("0.35", "0.5"), False),
        ("a.py", CLAIMS, CLAIMS.replace('"s"', '"ms"'), False),
    ],
)
def test_only_code_makes_stale(path: str, old: str, new: str, same: bool) -> None:
    assert same_code(path, old, new) is same


def test_unknown_commits_are_unknown() -> None:
    assert changed_since("0" * 40) is None
    assert changed_since(None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.95412, "0.9541"), (1234.5, "1,234"), (2.8e-6, "2.8e-6"), (71.0, "71")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_many_values_are_shown_by_their_ends() -> None:
    values = [{"what": f"peer {k}", "median": 1.0 + k / 10} for k in range(5)]
    words = measured(line(bar=["least", 1.2, "why"], values=values))
    assert words == "1 (peer 0) to 1.4 (peer 4) s"
    assert state(line(bar=["least", 1.2, "why"], values=values)) == "missed"


def test_figures_have_the_colors_of_both_themes() -> None:
    lines = [
        line("help"),
        line("show", values=[{"median": 0.7}]),
        line("zero", bar=["most", 0, ""]),
    ]
    drawing = bar_drawing(lines, "title")
    assert drawing is not None
    texts = drawing.texts()
    assert texts.index("show") < texts.index("help")
    assert "zero" not in texts
    light, dark = svg_files(drawing)
    assert light != dark
    assert "var(" not in light + dark
    assert bar_drawing([line("zero", bar=["most", 0, ""])], "title") is None


def test_markers_are_filled() -> None:
    lines = [line("help", case="cold"), line("help", case="warm", values=[{"median": 0.05}])]
    text = "<!-- n: help@warm.median -->?<!-- /n --> of <!-- n: help@cold.n -->?<!-- /n -->"
    filled = blocks.filled(text, lines, "README.md")
    assert re.sub("<!--.*?-->", "", filled) == "0.05 of 11"
    assert blocks.filled(filled, lines, "README.md") == filled
    percent = blocks.filled("<!-- n: help@warm.median % --><!-- /n -->", lines, "README.md")
    assert ">5.0 %<" in percent


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("<!-- results: readme-sped --><!-- end -->", "no table readme-sped; there are readme-acc"),
        ("<!-- n: help.median --><!-- /n -->", "name one with @CASE"),
        ("<!-- n: halp.median --><!-- /n -->", "no result"),
        ("<!-- n: help@cold.mean --><!-- /n -->", "fields are median, low, high, n"),
    ],
)
def test_unknown_markers_are_refused(marker: str, words: str) -> None:
    lines = [line("help", case="cold"), line("help", case="warm")]
    with pytest.raises(ValueError, match=r"^README\.md: ") as error:
        blocks.filled(marker, lines, "README.md")
    assert words in str(error.value)


def test_readme_tables_tell_the_results() -> None:
    rows = render.read_rows()
    lines = [row.line for of in rows.values() for row in of]
    values = {f"{v.median:.3g}" for one in lines for v in one.values}
    speed = blocks.TABLES["readme-speed"](lines)
    found = re.findall(r"([\d.]+) x timm", speed)
    assert found and set(found) <= values
    accuracy = blocks.TABLES["readme-accuracy"](lines)
    assert accuracy.count("%") >= 3
    assert "points with shuffled folds" in blocks.TABLES["readme-honesty"](lines)
    own = [row for row in read_results() if row["contender"] == "bestiary"]
    tools = blocks.TABLES["readme-tools"](lines)
    assert tools.count("\n") - 1 == len({(row["set"], row["minutes"]) for row in own})


def test_committed_pages_are_current() -> None:
    command = [sys.executable, str(BENCHMARKS / "render.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_finds_a_changed_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for mark in (STALE, STALE_COUNT):
        page.write_text(f"a{mark.format(' stale')} b")
        assert render.is_as_written(page, "a b")
    assert not render.is_as_written(page, "a c")
    assert not render.is_as_written(tmp_path / "none.md", "a")


def test_check_leaves_out_what_is_stale() -> None:
    lines = [line("help"), line("show", values=[{"median": 0.7}])]
    pages = set()
    for reason in ("", UNKNOWN, "x.py changed since 1234567"):
        rows = [Row(one, reason) for one in lines]
        every = {area: rows if area == "speed" else [] for area in AREAS}
        text = area_page("speed", rows, True) + index_page(every)
        pages.add(render.STALE.sub("", text))
    assert len(pages) == 1


def test_bad_results_end_the_check(tmp_path: Path) -> None:
    (tmp_path / "startup-help.jsonl").write_text('{"claim": "startup-help"}\n')
    with pytest.raises(ValueError, match=r"startup-help\.jsonl:1: "):
        render.read_rows(tmp_path)


def test_a_result_without_a_script_is_refused(tmp_path: Path) -> None:
    text = line("nobody-measures-this").model_dump_json()
    (tmp_path / "nobody-measures-this.jsonl").write_text(text)
    with pytest.raises(ValueError, match="no script declares this claim"):
        render.read_rows(tmp_path)


@pytest.mark.parametrize("file", sorted(render.PAGES.glob("*.md")), ids=lambda file: file.stem)
def test_prose_of_pages(file: Path) -> None:
    text = file.read_text()
    assert not [words for words in NEVER if words in text]
    plain = re.sub(r"<[^>]+>", " ", text)
    cells = [
        cell for row in plain.splitlines() if row.startswith("|") for cell in row.split("|")[1:-1]
    ]
    assert [cell for cell in cells if len(cell.split()) > MAX_CELL] == []
    prose = [row for row in plain.splitlines() if not row.startswith(("|", "#", "!"))]
    sentences = re.split(r"(?<=[.!?:])\s+", " ".join(prose))
    lengths = [n for one in sentences if (n := len(re.findall(r"[A-Za-z']+", one)))]
    assert sum(lengths) / len(lengths) <= MAX_MEAN
