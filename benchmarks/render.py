"""Results -> docs/benchmarks/: one page and one figure an area; and the numbers of other documents.

    python benchmarks/render.py            # writes them
    python benchmarks/render.py --check    # says what is not as it would be written; for make check
    python benchmarks/render.py --fresh    # also fails where a result is stale; for a release

--check also names the numbers of README and docs that neither a result nor docs/facts.toml backs.
What is stale is not compared by --check, since it changes with every commit: it is only counted.
"""

import argparse
import re
import sys
from pathlib import Path

from harness.results import RESULTS, Line, all_lines, split_lines
from harness.scripts import AREAS, ROOT, Claim, all_claims
from rendering.blocks import filled
from rendering.figure import bar_drawing, svg_files
from rendering.page import Row, area_page, index_page
from rendering.sources import read_facts, unbacked
from rendering.staleness import all_reasons

PAGES = ROOT / "docs" / "benchmarks"
FACTS = ROOT / "docs" / "facts.toml"
STALE = re.compile(r'<span class="stale(?: count)?">.*?</span>')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    try:
        rows = read_rows()
        wanted = all_files(rows)
        no_source = without_source(rows)
    except ValueError as error:
        print(f"render: {error}", file=sys.stderr)
        sys.exit(2)
    stale = [row for of in rows.values() for row in of if row.is_stale]
    if args.check or args.fresh:
        wrong = [file for file, text in wanted.items() if not is_as_written(file, text)]
        for file in wrong:
            print(f"{file.relative_to(ROOT)} is not what benchmarks/render.py writes: run it")
        print(*no_source, sep="\n", end="\n" if no_source else "")
        if stale:
            print(f"{len(stale)} results are stale: measure them again before a release")
        sys.exit(bool(wrong or no_source) or (args.fresh and bool(stale)))
    for file, text in wanted.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    print(f"{len(wanted)} files written; {len(stale)} results are stale")


def read_rows(folder: Path = RESULTS) -> dict[str, list[Row]]:
    """Read what counts of all claims, by area, in the order of the scripts.

    Raises:
        ValueError: a line is not valid, or no script has its claim.
    """
    claims = all_claims()
    lines = list(all_lines(folder))
    for line in lines:
        if line.claim not in claims:
            raise ValueError(f"{line.claim}.jsonl: no script declares this claim")
    lines = [line.model_copy(update={"watches": watches(line, claims)}) for line in lines]
    place = {name: number for number, name in enumerate(claims)}
    lines.sort(key=lambda line: place[line.claim])
    rows: dict[str, list[Row]] = {area: [] for area in AREAS}
    for line, reason in zip(lines, all_reasons(lines), strict=True):
        rows[claims[line.claim].area].append(Row(line, reason))
    return rows


def watches(line: Line, claims: dict[str, Claim]) -> tuple[str, ...]:
    """What a figure depends on: the script of today knows best.

    The script itself counts where the line says so. Older lines were measured by scripts that have
    moved since.
    """
    claim = claims[line.claim]
    is_own = claim.script in line.watches
    return tuple(glob for glob in claim.watches if is_own or glob != claim.script)


def all_files(rows: dict[str, list[Row]]) -> dict[Path, str]:
    """Render every page, figure and document with markers.

    Raises:
        ValueError: a marker of a document names what there is not.
    """
    claims = all_claims()
    _, old = split_lines()
    files = {PAGES / "index.md": index_page(rows)}
    for area, of in rows.items():
        lines = [row.line for row in of]
        drawing = bar_drawing(lines, f"{AREAS[area]}: how far from the bar")
        measured = {line.claim for line in lines}
        missing = [
            claim.statement
            for claim in claims.values()
            if claim.area == area and claim.name not in measured
        ]
        replaced = [line for line in old if claims[line.claim].area == area]
        files[PAGES / f"{area}.md"] = area_page(area, of, drawing is not None, missing, replaced)
        if drawing is not None:
            light, dark = svg_files(drawing)
            files[PAGES / "figures" / f"{area}.svg"] = light
            files[PAGES / "figures" / f"{area}-dark.svg"] = dark
    every = [row.line for of in rows.values() for row in of]
    return files | marked_documents(every)


def documents() -> dict[str, str]:
    """Read README and docs, but for the pages that are written here: path -> text."""
    files = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    return {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for file in files
        if PAGES not in file.parents
    }


def marked_documents(lines: list[Line]) -> dict[Path, str]:
    """Fill the markers of README and of the documents that have some."""
    return {
        ROOT / name: filled(text, lines, name)
        for name, text in documents().items()
        if "<!-- results: " in text or "<!-- n: " in text
    }


def without_source(rows: dict[str, list[Row]]) -> list[str]:
    """Say which numbers of README and docs neither a result nor docs/facts.toml backs.

    Raises:
        ValueError: docs/facts.toml has a number without a reason.
    """
    lines = [row.line for of in rows.values() for row in of]
    return unbacked(documents(), lines, read_facts(FACTS))


def is_as_written(file: Path, text: str) -> bool:
    """Whether a file says what would be written, but for what is stale."""
    if not file.exists():
        return False
    return STALE.sub("", file.read_text(encoding="utf-8")) == STALE.sub("", text)


if __name__ == "__main__":
    main()
