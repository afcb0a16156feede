"""The words of the code and the documents are those of the vocabulary in CONTRIBUTING.md."""

import ast
import re
from pathlib import Path

import pytest
import write_map

ROOT = write_map.DOCS.parent
MAX_WORDS = 35
# Words that the vocabulary has another word for, and spellings of another English. With "*", in
# every form that begins so.
DIALECT = (
    "anew",
    "behaviour*",
    "centre*",
    "colour*",
    "doubtful",
    "favour*",
    "grey*",
    "heed",
    "keeper",
    "labelled",
    "labelling",
    "lesson",
    "motif*",
    "neighbour*",
    "normalis*",
    "optimise*",
    "optimisi*",
    "organis*",
    "picture*",
    "recognis*",
    "relabelled",
    "thereof",
    "twins",
    "whereof",
)
WRITTEN = sorted(
    file
    for pattern in (
        "src/bestiary/**/*.py",
        "src/bestiary/**/*.toml",
        "src/bestiary/**/*.html",
        "src/bestiary/**/*.js",
        "docs/**/*.md",
        "README.md",
        "CHANGELOG.md",
    )
    for file in ROOT.glob(pattern)
    if file.name != "renamed.py"  # whose subject are the old words
)
MODULES = sorted((ROOT / "src" / "bestiary").rglob("*.py"))


def test_no_dialect() -> None:
    forms = "|".join(word.replace("*", "[A-Za-z]*") for word in DIALECT)
    word = re.compile(rf"(?<![A-Za-z])({forms})(?![A-Za-z])", re.IGNORECASE)
    found = []
    for file in WRITTEN:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            found += [
                f"{file.relative_to(ROOT)}:{number} {match[0]}" for match in word.finditer(line)
            ]
    assert not found


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_docstring_sentences_are_short(module: Path) -> None:
    long = [
        f"{words} words: {sentence[:80]}"
        for sentence in sentences(module)
        if (words := len(re.findall(r"[A-Za-z']+", sentence))) > MAX_WORDS
    ]
    assert not long


def sentences(module: Path) -> list[str]:
    """The sentences of all docstrings, without lists, tables of parameters and examples."""
    found = []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if not isinstance(node, documented):
            continue
        text = (ast.get_docstring(node) or "").partition("\nParameters\n---")[0]
        text = re.sub(r"::\n\n.*?(?=\n\S|\Z)", "", text, flags=re.DOTALL)
        for paragraph in re.split(r"\n\s*\n|\n(?=\s*[\w*`, ]+: )|\n\s*- |\n\s*>>>", text):
            joined = " ".join(paragraph.split())
            found += re.split(r"(?<=[.!?:;])\s+(?=[A-Z`])", joined)
    return found
