"""The code blocks of README.md and docs/: which there are, which are run, and why others are not.

A block is run by `make run-docs` unless a comment above it says ``not run: REASON``. The
pages do not show the comment.
"""

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from lint_prose import ROOT, pages

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+?) -->\n+)?^```(?P<language>sh|python)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A code block of a page.

    Attributes:
        page: path of the page, relative to the repository.
        language: sh or python.
        code: its lines.
        reason: why it is not run; empty if it is.
    """

    page: str
    language: str
    code: str
    reason: str

    def commands(self) -> list[list[str]]:
        """Split a block of shell into commands of words, without comments, pipes and files."""
        joined = self.code.replace("\\\n", " ")
        commands = [shlex.split(line, comments=True) for line in joined.splitlines()]
        return [
            list(takewhile(lambda word: word not in (">", "|"), command))
            for command in commands
            if command
        ]


def blocks_of(page: Path) -> list[Block]:
    """List the blocks of a page, in order. Files that a page shows have tests of their own."""
    name = page.relative_to(ROOT).as_posix()
    found = []
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        found.append(Block(name, match["language"], match["code"], match["reason"] or ""))
    return found


def all_blocks() -> list[Block]:
    """List the blocks of README.md and of all pages."""
    return [block for page in pages() for block in blocks_of(page)]
