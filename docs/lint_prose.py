"""Check the prose of README.md and docs/: short sentences, short cells, no banned words.

python docs/lint_prose.py [FILE ...]

A sentence ends with a full stop, an exclamation or a question mark, or with its paragraph or list
item. Code, headings, tables and addresses of links do not count; a code span is one word.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_MEAN_WORDS = 17.0  # of the sentences of a page
MAX_CELL_WORDS = 25
BANNED = ("by hand", "before that day", "described system", "described loop")

FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
CODE = re.compile(r"(`+)(?:(?!\1).)+\1", re.DOTALL)
LIST_ITEM = re.compile(r"\n(?= *(?:[-*]|\d+\.) )")
SENTENCE_END = re.compile(r"(?<=[.!?])[)\"*]*\s+(?=[^a-z])")
WORD = re.compile(r"[A-Za-z0-9][\w'.,%/+-]*")


def prose(text: str) -> str:
    """Remove from a page what is no prose; a code span becomes one word."""
    text = COMMENT.sub("", FENCE.sub("", text))
    text = CODE.sub("CODE", LINK.sub(r"\1", text))
    kept = [
        line
        for line in text.splitlines()
        if not line.lstrip().startswith(("#", "|", ":::", "<", "--8<--"))
    ]
    return "\n".join(kept)


def sentences(text: str) -> list[str]:
    """List the sentences of a page's prose that have a word."""
    found = []
    for paragraph in re.split(r"\n\s*\n", prose(text)):
        for item in LIST_ITEM.split(paragraph):
            found += SENTENCE_END.split(" ".join(item.split()))
    return [sentence for sentence in found if WORD.search(sentence)]


def words(text: str) -> int:
    """Count words; numbers are words too."""
    return len(WORD.findall(text))


def cells(text: str) -> Iterator[str]:
    """Yield the cells of a page's tables."""
    for line in COMMENT.sub("", FENCE.sub("", text)).splitlines():
        if line.lstrip().startswith("|"):
            yield from CODE.sub("CODE", LINK.sub(r"\1", line)).replace(r"\|", " ").split("|")


def faults(text: str) -> list[str]:
    """Say what is wrong with a page; an empty list if nothing is."""
    found = []
    lengths = [words(sentence) for sentence in sentences(text)]
    if lengths and (mean := sum(lengths) / len(lengths)) > MAX_MEAN_WORDS:
        longest = max(sentences(text), key=words)
        found.append(
            f"{mean:.1f} words a sentence, {MAX_MEAN_WORDS:g} at most; the longest has "
            f"{words(longest)}: {longest[:70]}..."
        )
    for cell in cells(text):
        if words(cell) > MAX_CELL_WORDS:
            found.append(f"a cell of {words(cell)} words: {cell.strip()[:70]}...")
    flat = " ".join(COMMENT.sub("", text).lower().split())
    return found + [f"{flat.count(phrase)} x {phrase!r}" for phrase in BANNED if phrase in flat]


def pages() -> list[Path]:
    """List README.md and every page of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> int:
    """Print the faults of all pages, or of those that are named; return the exit status."""
    files = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    status = 0
    for file in files:
        for fault in faults(file.read_text(encoding="utf-8")):
            print(f"{file.relative_to(ROOT)}: {fault}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
