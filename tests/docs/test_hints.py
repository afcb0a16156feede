"""What a message, a page or a sentence tells a user to type exists, and can be pasted.

Reads the strings and templates of the package, and the code spans of the pages; runs none of them.
"""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from lint_prose import ROOT, pages

import bestiary
from bestiary.cli import VERBS
from bestiary.cli.application import build_app
from bestiary.recipe.options import options

PACKAGE = ROOT / "src" / "bestiary"
QUOTED_BY = {"join", "quote", "shell_name", "listing_command"}
"""Functions that make words of a shell."""
PLAIN = {"data", "setting", "usage(verb)"}
"""Expressions that are words of a shell already, or stand for words without spaces."""
NO_COMMANDS = {"opened.name", "run | tojson"}
"""Expressions in texts that no shell reads: a commit's message, a key of a browser's storage."""
COMMAND = re.compile(r"bestiary (?P<verb>[a-z]+)(?P<rest>(?:(?![;,.:)]?(?:\s\(|\s?$)|[;,)\n]).)*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
SETTING = re.compile(r"--set (?P<key>[a-z_0-9]+\.[a-z_0-9]+)=")
CALL = re.compile(r"\bbestiary\.(?P<name>[A-Za-z_]+)(?:\.(?P<part>[a-z_]+))?\((?P<arguments>[^)]*)")
EXTRA = re.compile(r"pip install '(?:bestiary|\.)\[(?P<extras>[\w,]+)\]'")


class Hint(NamedTuple):
    """A string of the package.

    Attributes:
        where: file and line.
        text: the string, with a character of `values` for each expression in it.
        values: such a character -> the expression.
    """

    where: str
    text: str
    values: dict[str, str]


def hints() -> Iterator[Hint]:
    """Yield the strings of all modules but their docstrings, and the text of all templates."""
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inner = {id(part) for node in ast.walk(tree) for part in _parts(node)}
        for node in ast.walk(tree):
            if id(node) not in inner and (found := _text(node)):
                where = f"{file.relative_to(PACKAGE).as_posix()}:{node.lineno}"  # type: ignore[attr-defined]
                yield Hint(where, *found)
    for file in sorted(PACKAGE.rglob("*.html")):
        text = file.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            yield Hint(f"{file.relative_to(PACKAGE).as_posix()}:{number}", *_template(line))


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Strings that are parts of others, or docstrings."""
    if isinstance(node, ast.JoinedStr):
        yield from (part for part in ast.walk(node) if part is not node)
    body = getattr(node, "body", [])
    for statement in body if isinstance(body, list) else []:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            yield statement.value


def _text(node: ast.AST) -> tuple[str, dict[str, str]] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value, {}
    if not isinstance(node, ast.JoinedStr):
        return None
    values: dict[str, str] = {}
    text = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            mark = chr(0xE000 + len(values))
            values[mark] = ast.unparse(part.value)
            text += mark
    return text, values


def _template(line: str) -> tuple[str, dict[str, str]]:
    values: dict[str, str] = {}

    def mark(match: re.Match[str]) -> str:
        values[chr(0xE000 + len(values))] = match[1]
        return chr(0xE000 + len(values) - 1)

    return re.sub(r"\{\{ (.*?) \}\}", mark, re.sub("<[^>]*>", "\n", line)), values


HINTS = list(hints())
FLAGS = {
    verb: {
        name
        for argument in build_app(every_option=True)[verb].assemble_argument_collection()
        for name in argument.names
    }
    for verb in VERBS
}
KEYS = {option.name for option in options()}


def test_hints_are_found() -> None:
    commands = [match for hint in HINTS for match in COMMAND.finditer(hint.text)]
    assert sum(match["verb"] in VERBS for match in commands) >= 60


def test_commands_in_hints_exist() -> None:
    wrong = []
    for hint in HINTS:
        for match in COMMAND.finditer(hint.text):
            if match["verb"] in VERBS:
                unknown = set(OPTION.findall(match["rest"])) - FLAGS[match["verb"]]
                wrong += [(hint.where, match[0], sorted(unknown))] if unknown else []
    assert not wrong


def test_places_in_hints_can_be_pasted() -> None:
    """A name with a space is one word of a command."""
    wrong = []
    for hint in HINTS:
        for match in COMMAND.finditer(hint.text):
            if match["verb"] in VERBS:
                values = [value for mark, value in hint.values.items() if mark in match["rest"]]
                wrong += [(hint.where, value) for value in values if not is_pasteable(value)]
    assert not wrong


def is_pasteable(value: str) -> bool:
    """Whether an expression in a command is one word of a shell: a constant, or quoted."""
    function = re.match(r"(?:\w+\.)*(\w+)\(", value)
    return (
        value.isupper()
        or value in PLAIN | NO_COMMANDS
        or bool(function and function[1] in QUOTED_BY)
    )


def test_calls_in_hints_exist() -> None:
    found = [(hint.where, match) for hint in HINTS for match in CALL.finditer(hint.text)]
    assert len(found) >= 4
    for where, match in found:
        called = getattr(bestiary, match["name"], None)
        called = getattr(called, match["part"]) if match["part"] else called
        assert called is not None, (where, match[0])
        known = inspect.signature(called).parameters
        given = re.findall(r"(\w+)=", match["arguments"])
        assert set(given) <= set(known), (where, match[0])


@pytest.mark.parametrize("source", ["hints", "pages"])
def test_extras_exist(source: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    texts = (
        [hint.text for hint in HINTS]
        if source == "hints"
        else [page.read_text(encoding="utf-8") for page in pages()]
    )
    named = {
        extra for text in texts for match in EXTRA.finditer(text) for extra in match[1].split(",")
    }
    assert named and named <= set(extras)
