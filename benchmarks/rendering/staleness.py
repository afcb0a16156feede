"""Results -> whether the code, the libraries or the time since has made them stale.

A result is stale where the code of a watched file has changed since its commit, where PyTorch has
another minor version, or after 180 days. Comments, docstrings and layout are no code: a program
that parses to the same is the same. Nor is what a script declares of a claim besides its unit and
its bar: a statement in other words, other watched files or other commands measure the same. Without
git, or in a checkout without that commit, nobody can say: then it is unknown.
"""

import ast
import re
import tomllib
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeGuard

from harness.results import Line
from harness.scripts import ROOT
from harness.surroundings import git

OLD = 180  # days
UNKNOWN = "unknown"
NAMED = 2  # changed files that are named
TOLD = ("statement", "watches")  # of a claim: they change no figure


def why_stale(line: Line, today: date, torch: str | None, changed: Sequence[str] | None) -> str:
    """Say why a result is stale; empty where it is not.

    Args:
        line: the result.
        today: the day.
        torch: PyTorch's version here.
        changed: files that differ from the result's commit; None where nobody can say.

    Returns:
        The reason; "unknown" where it cannot be known.
    """
    age = (today - date.fromisoformat(line.date[:10])).days
    if age > OLD:
        return f"measured {age} days ago"
    measured = line.versions.get("torch", "")
    if torch and measured and minor(measured) != minor(torch):
        return f"measured with PyTorch {minor(measured)}"
    if changed is None:
        return UNKNOWN
    hits = [path for path in changed if any(matches(path, glob) for glob in line.watches)]
    if not hits:
        return ""
    more = f" and {len(hits) - NAMED} more" if len(hits) > NAMED else ""
    names = ", ".join(Path(path).name for path in hits[:NAMED])
    return f"{names}{more} changed since {(line.commit or '')[:7]}"


def minor(text: str) -> str:
    """Major and minor version."""
    return ".".join(text.split("+")[0].split(".")[:2])


def matches(path: str, glob: str) -> bool:
    """Whether a path is one of a glob's: ``**`` crosses folders, ``*`` does not."""
    return re.fullmatch(_pattern(glob), path) is not None


@cache
def _pattern(glob: str) -> str:
    parts = re.split(r"(\*\*|\*)", glob)
    return "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)


@cache
def changed_since(commit: str | None) -> tuple[str, ...] | None:
    """List the files that differ between a commit and the working tree; None if it is not here."""
    if commit is None:
        return None
    found = git("diff", "--name-only", "--no-renames", commit, "--")
    return None if found is None else tuple(found.splitlines())


def same_code(path: str, old: str, new: str) -> bool:
    """Whether two texts of a file do the same, as far as parsing can say.

    Example:
        >>> same_code("a.py", "x = 1  # one", "x = 1"), same_code("a.py", "x = 1", "x = 2")
        (True, False)
    """
    if old == new:
        return True
    try:
        if path.endswith(".py"):
            return _program(old) == _program(new)
        if path.endswith(".toml"):
            return tomllib.loads(old) == tomllib.loads(new)
    except (SyntaxError, ValueError):
        return False
    return False


@cache
def _program(text: str) -> str:
    """A program without comments, docstrings, layout, and what only tells of its claims."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not _assigns(node, "COMMANDS")]
    for node in tree.body:
        if _assigns(node, "CLAIMS") and isinstance(node.value, ast.Dict):
            for claim in node.value.values:
                _drop_told(claim)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body.pop(0)
    return ast.dump(tree)


def _assigns(node: ast.stmt, name: str) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in node.targets
    )


def _drop_told(claim: ast.expr) -> None:
    """Remove from the dictionary of a claim what changes no figure."""
    if isinstance(claim, ast.Dict):
        pairs = zip(claim.keys, claim.values, strict=True)
        kept = [
            (key, value)
            for key, value in pairs
            if not (isinstance(key, ast.Constant) and key.value in TOLD)
        ]
        claim.keys = [key for key, _ in kept]
        claim.values = [value for _, value in kept]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def code_changed(commit: str, path: str) -> bool:
    """Whether a file that differs from a commit's does something else."""
    here = ROOT / path
    before = git("show", f"{commit}:{path}")
    if before is None or not here.is_file():
        return True
    return not same_code(path, before, here.read_text(encoding="utf-8").strip())


def watched_changes(line: Line) -> list[str] | None:
    """List the watched files whose code has changed since a result; None if nobody can say."""
    changed = changed_since(line.commit)
    if changed is None or line.commit is None:
        return None
    hits = [path for path in changed if any(matches(path, glob) for glob in line.watches)]
    return [path for path in hits if code_changed(line.commit, path)]


def all_reasons(lines: Sequence[Line]) -> list[str]:
    """Say of each result why it is stale."""
    here = (ROOT / ".git").exists()
    try:
        torch: str | None = version("torch")
    except PackageNotFoundError:
        torch = None
    today = date.today()
    return [
        why_stale(line, today, torch, watched_changes(line) if here else None) for line in lines
    ]
