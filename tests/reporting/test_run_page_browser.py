"""The report page in headless Chromium: confusion matrix, class table, themes, widths, print."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bestiary
from bestiary.run.run import Run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bestiary.report(
        trained.path, out=tmp_path_factory.mktemp("page") / "report.html", quiet=True
    ).files[0]


@pytest.fixture
def page(chromium: Any, file: Path) -> Iterator[Any]:
    """The page, offline; the test fails on console messages, errors and network requests."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, offline=True, color_scheme="light"
    )
    tab = context.new_page()
    complaints = []

    def note_request(request: Any) -> None:
        if request.url.startswith("http"):
            complaints.append(request.url)

    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", note_request)
    tab.goto(file.as_uri())
    yield tab
    context.close()
    assert complaints == []


def test_matrix_hover_shows_images(page: Any) -> None:
    title = page.locator("#cell h3").inner_text()
    cells = page.locator("#matrix rect.miss")
    assert cells.count() > 0
    for index in range(cells.count()):
        cells.nth(index).hover()
        assert " taken for " in page.locator("#cell h3").inner_text()
        assert page.locator("#cell img").count() >= 1
    page.locator("#matrix rect.hit").first.hover()
    assert page.locator("#cell h3").inner_text() != title
    assert "right" in page.locator("#cell").inner_text()


def test_matrix_keyboard_and_zoom(page: Any) -> None:
    page.locator("#matrix").focus()
    titles = set()
    for _ in range(page.locator("#matrix rect.miss").count()):
        page.keyboard.press("ArrowRight")
        titles.add(page.locator("#cell h3").inner_text())
    assert len(titles) == page.locator("#matrix rect.miss").count()
    page.keyboard.press("+")
    page.keyboard.press("-")


def test_class_table_sorts_and_filters(page: Any) -> None:
    rows = page.locator("#classes tbody tr")
    heads = page.locator("#classes th")

    def column(index: int) -> list[str]:
        return [row.locator("td").nth(index).get_attribute("data-v") for row in rows.all()]

    for index in range(heads.count()):
        head = heads.nth(index)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        rising = column(index)
        numeric = 1 <= index <= 4
        assert rising == sorted(rising, key=float if numeric else str.lower)
        head.locator("button").click()
        assert column(index) == rising[::-1] or len(set(rising)) < len(rising)
    page.locator("#filter").fill(column(0)[0])
    assert page.locator("#classes tbody tr:visible").count() == 1


def test_theme(page: Any, check_theme: Callable[[Any], None]) -> None:
    check_theme(page)


@pytest.mark.parametrize("width", [400, 768, 1280])
def test_page_fits_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#matrix").bounding_box()["width"] > 0.7 * min(width, 700) - 40


def test_print(page: Any) -> None:
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and not page.locator("#theme").is_visible()
    assert page.pdf().startswith(b"%PDF")
