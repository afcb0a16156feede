"""Links of the documents lead somewhere, also to headings; the navigation has every page."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from lint_prose import CODE, COMMENT, FENCE, ROOT, pages

DOCUMENTS = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
THEMES = {"only-light", "only-dark"}  # Material shows an image in one of them alone
HEADING = re.compile(r"^#+ (.+?)(?: \{#([\w-]+)\})?$", re.MULTILINE)


def links(page: Path) -> Iterator[str]:
    text = COMMENT.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    yield from LINK.findall(CODE.sub("code", text))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for title, given in HEADING.findall(text):
        plain = LINK.sub(lambda link: link[0].partition("]")[0].lstrip("!["), title)
        plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        plain = re.sub(r"[^\w\s-]", "", plain.replace("`", "")).strip().lower()
        found.add(given or re.sub(r"[-\s]+", "-", plain))
    return found | set(re.findall(r'<details id="([^"]+)"', text)) | THEMES


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        place, _, anchor = link.partition("#")
        goal = (page.parent / place).resolve() if place else page
        assert goal.is_file(), f"{link}: no such file"
        assert not anchor or anchor in anchors(goal), f"{link}: no such heading"


def test_site_links_stay_inside() -> None:
    """The site has the files below docs/ alone."""
    for page in pages()[1:]:
        for link in links(page):
            if not re.match(r"https?://|mailto:|#", link):
                goal = (page.parent / link.partition("#")[0]).resolve()
                assert goal.is_relative_to(ROOT / "docs"), (page, link)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    there = {page.relative_to(ROOT / "docs").as_posix() for page in pages()[1:]}
    assert there - listed == {page for page in there if page.startswith("benchmarks/")} - listed
    assert listed <= there
