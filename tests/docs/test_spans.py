"""Commands, options and names in the sentences of the pages exist; blocks have tests of their own.

A span in backticks is read as a command, an option, an option of a recipe or a name in Python.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cyclopts import App
from cyclopts.exceptions import MissingArgumentError
from lint_prose import ROOT, pages

import bestiary
from bestiary.cli import VERBS
from bestiary.cli.application import build_app
from bestiary.recipe.options import options
from bestiary.reporting.figure import Figure

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OTHER_TOOLS = "docs/how-to/migrate.md"
MADE = ("docs/reference/errors.md", "docs/map.md", "docs/benchmarks/")
"""Pages of spans that are no advice: messages, which have tests of their own, and measurements."""
NAMES = {"run": bestiary.Run, "ensemble": bestiary.Ensemble, "figure": Figure}
"""What the pages on Python call an object -> its class."""
PYTHON = ("docs/how-to/python.md", "docs/tutorials/notebook.md", "docs/tutorial.ipynb")


class Span(NamedTuple):
    """A span of code in a sentence."""

    page: str
    text: str


def spans() -> Iterator[Span]:
    """Yield the spans of README.md, the pages and the cells of text in the tutorial."""
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    told = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    for page, text in {**texts, TUTORIAL: "\n\n".join(told)}.items():
        name = page.relative_to(ROOT).as_posix()
        if not name.startswith(MADE):
            for match in SPAN.finditer(FENCE.sub("", text)):
                yield Span(name, " ".join(match[1].split()).replace("\\|", "|"))


SPANS = list(spans())
KEYS = {option.name for option in options()}
SECTIONS = {key.split(".")[0] for key in KEYS}


@pytest.fixture(scope="module")
def app() -> App:
    return build_app(every_option=True)


def commands() -> Iterator[tuple[Span, list[str]]]:
    """Yield spans that are commands, as words after the name of the program."""
    for span in SPANS:
        words = span.text.removeprefix("bestiary ").split(" ")
        is_command = span.text.startswith("bestiary ") or (
            len(words) > 1 and words[1].startswith("--")
        )
        if is_command and words[0] in VERBS:
            yield span, shlex.split(span.text.removeprefix("bestiary "))


def test_commands_in_sentences_are_understood(app: App) -> None:
    found = list(commands())
    assert len(found) >= 60
    for span, words in found:
        try:
            given = [word for word in words if word != "..."]
            app.parse_args(given, exit_on_error=False, print_error=False)
        except MissingArgumentError:
            assert "..." in words or len(words) < 5, span


def test_options_in_sentences_exist(app: App) -> None:
    known = {
        name
        for verb in VERBS
        for argument in app[verb].assemble_argument_collection()
        for name in argument.names
    }
    known |= {"--help", "--version", "--help-all", "--json", "--verbose"}
    named = [span for span in SPANS if span.text.startswith("--") and is_ours(span)]
    assert len(named) >= 100
    assert [span for span in named if re.split("[ =]", span.text)[0] not in known] == []


def is_ours(span: Span) -> bool:
    """Whether an option is bestiary's: not of another tool, nor of `docker run`."""
    return span.page != OTHER_TOOLS and span.text != "--gpus all"


def test_recipe_options_in_sentences_exist() -> None:
    wrong = []
    for span in SPANS:
        for section, key in re.findall(r"(?<![\w./])([a-z]+)\.([a-z_0-9]+) ?=", span.text):
            if section in SECTIONS and f"{section}.{key}" not in KEYS:
                wrong.append(span)
    assert not wrong


def test_names_in_sentences_exist() -> None:
    modules = {path.stem for path in Path(bestiary.__file__).parent.iterdir()}
    for span in SPANS:
        if match := re.match(r"bestiary\.([A-Za-z_]+)", span.text):
            assert match[1] in {*bestiary.__all__, *modules, "json"}, span
        match = re.match(r"([a-z]+)_?\.(\w+)", span.text)
        if match and match[1] in NAMES and span.page in PYTHON:
            owner = NAMES[match[1]]
            assert hasattr(owner, match[2]) or match[2] in getattr(owner, "__annotations__", {}), (
                span
            )
