"""The tables of docs/reference/programs.md, and the keys of a document that they do not have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "programs.md"
FRAME = {"verb", "version"}
# A number with its interval is one thing, whatever else says of it.
INTERVAL = {"value", "low", "high", "n", "groups", "wins", "losses", "p", "effective", "method"}


def documented(verb: str) -> set[str]:
    """The keys that the page lists for a verb."""
    for section in PAGE.read_text(encoding="utf-8").split("\n### ")[1:]:
        heading, _, body = section.partition("\n")
        if f"`{verb}`" in heading:
            cells = re.findall(r"^\| (`.*?) \|", body, re.MULTILINE)
            return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}
    raise AssertionError(f"docs/reference/programs.md has no section of {verb}")


def keys(node: Any, known: set[str], prefix: str = "") -> Iterator[str]:
    """The keys of a document, as the page writes them."""
    if f"{prefix}.*" in known and isinstance(node, dict):
        yield f"{prefix}.*"
    elif isinstance(node, dict) and not INTERVAL.issuperset(node):
        for key, part in node.items():
            yield from keys(part, known, f"{prefix}.{key}" if prefix else key)
    elif isinstance(node, list) and (
        f"{prefix}[]" in known or f"{prefix}[].*" in known or _rows(node)
    ):
        for part in node:
            yield from keys(part, known, f"{prefix}[]")
    else:
        yield prefix


def _rows(node: list[Any]) -> bool:
    return bool(node) and isinstance(node[0], dict)


def found_keys(verb: str, text: str) -> set[str]:
    """The keys of a verb's document; each must be on the page."""
    document = json.loads(text)
    assert document["verb"] == verb
    known = documented(verb)
    found = set(keys(document, known)) - FRAME
    # An empty list or a null says nothing of the keys below it.
    undocumented = {
        key
        for key in found
        if key not in known and not any(k.startswith((f"{key}[", f"{key}.")) for k in known)
    }
    assert undocumented == set()
    return found
