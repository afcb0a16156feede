"""Every number of README and docs has a result or a reason; a number without one is seen."""

import json
from pathlib import Path

import pytest

import render
from harness.results import Line, read_line
from rendering.sources import backed, figure, figures, read_facts, unbacked

FIELDS = {
    "claim": "copies-found",
    "area": "honesty",
    "statement": "Copies are found",
    "unit": "of the copies found",
    "values": [
        {"median": 0.9942, "low": 0.9932, "high": 0.9961},
        {"what": "right", "median": 35, "unit": "pairs right"},
        {"median": 318, "unit": "s"},
    ],
    "n": 36,
    "n_of": "pairs",
    "machine": {"cpu": "a processor"},
    "commit": "1234567",
    "date": "2026-11-27",
    "script": "benchmarks/honesty/near_duplicates.py",
}
PAGE = "docs/page.md"


@pytest.fixture
def lines() -> list[Line]:
    return [read_line(json.dumps(FIELDS), "test")]


def found(text: str, lines: list[Line], **facts: dict[str, str]) -> list[str]:
    return unbacked({PAGE: text}, lines, facts)


def test_committed_pages_have_sources() -> None:
    assert render.without_source(render.read_rows()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It has 95.4 % (94.3-96.3 %), in 35 s.", ["95.4 %", "94.3", "96.3 %", "35 s"]),
        ("sets of 80, 90 and 99 %", ["80 %", "90 %", "99 %"]),
        ("accuracy 0.951, 95 % interval", ["0.951", "95 %"]),
        (
            "\N{MINUS SIGN}0.7 points (\N{MINUS SIGN}1.7 to +0.3)",
            ["\N{MINUS SIGN}0.7 points", "\N{MINUS SIGN}1.7", "+0.3"],
        ),
        ("35 of 36 copies, of 22,034 pairs", ["35 of 36", "36", "22,034"]),
        ("0.98 of 17 kinds", ["0.98 of 17", "17"]),
        ("51 times, 248 images/s, 283 MB", ["51 times", "248 images/s", "283 MB"]),
        ("17 kinds, 3 seeds, 224 pixels, 10^6 rows, from 1.26.4 on, in 2026-11-27", []),
        ("efficientnet-0.5 and v0.2", []),
    ],
)
def test_numbers_are_seen(text: str, words: list[str]) -> None:
    assert [one.words for one in figures(text)] == words


@pytest.mark.parametrize(
    ("text", "unit", "is_backed"),
    [
        ("0.994", "", True),
        ("99.4", "%", True),
        ("99.3", "", True),  # the lower end
        ("99.42", "%", True),
        ("99.5", "%", False),
        ("0.99", "s", True),
        ("99.4", "s", False),  # no percentage of seconds
        ("35", "of 36", True),
        ("36", "", True),
        ("34", "of 36", False),
        ("5.3", "minutes", True),
        ("5.4", "minutes", False),
    ],
)
def test_rounding_is_that_of_print(
    text: str, unit: str, is_backed: bool, lines: list[Line]
) -> None:
    assert backed(figure(text, unit), lines) is is_backed


def test_comment_names_result(lines: list[Line]) -> None:
    text = "# Copies\n\n{}Found: 99.4 %.\n"
    assert "no result is named" in found(text.format(""), lines)[0]
    assert not found(text.format("<!-- from: copies-found -->\n"), lines)
    assert not found(text.format("<!-- from: copies-found -->\n\n"), lines)
    assert "no result nothing" in found(text.format("<!-- from: nothing -->\n"), lines)[0]
    wrong = text.replace("99.4", "99.8").format("<!-- from: copies-found -->\n")
    assert "99.8 %: not in copies-found" in found(wrong, lines)[0]


def test_comment_is_for_one_paragraph(lines: list[Line]) -> None:
    text = "<!-- from: copies-found -->\nFound: 99.4 %.\n\nAgain: 99.4 %.\n"
    assert len(found(text, lines)) == 1


def test_code_and_markers_do_not_count(lines: list[Line]) -> None:
    text = (
        "`--risk 0.05`, [a link](https://a.org/1.25) and <!-- n: x.median -->0.7<!-- /n -->\n\n"
        "```sh\nbestiary train --set a=0.5\n```\n\n<!-- results: t -->\n| 0.6 |\n<!-- end -->\n"
    )
    assert not found(text, lines)


def test_output_of_a_page_backs_its_numbers(lines: list[Line]) -> None:
    assert not found("```text\naccuracy 90.8 %\n```\n\nIt printed 90.8 %.\n", lines)
    assert found("```sh\n# accuracy 90.8 %\n```\n\nIt printed 90.8 %.\n", lines)


def test_facts_have_reasons_and_a_place(lines: list[Line], tmp_path: Path) -> None:
    text = "At most 5 %.\n"
    assert not found(text, lines, **{PAGE: {"5 %": "a default"}})
    assert not found(text, lines, **{"every page": {"5 %": "a default"}})
    unused = found(text, lines, **{PAGE: {"5 %": "a default", "6 %": "a default"}})
    assert unused == [f"docs/facts.toml: {PAGE}: no 6 % there"]
    assert not found(text, lines, **{PAGE: {"from": "copies-found", "5 %": "a default"}})
    file = tmp_path / "facts.toml"
    file.write_text('[page]\n"5 %" = "true"\n')
    with pytest.raises(ValueError, match="needs a reason"):
        read_facts(file)
