"""The report driven in headless Chromium; skipped where there is no browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bestiary
from bestiary.run.run import Run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def file(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bestiary.report(
        trained.path, out=tmp_path_factory.mktemp("page") / "report.html", quiet=True
    ).files[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page, without a network; what the console says and what it asks for is held against
    it.
    """
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, offline=True, color_scheme="light"
    )
    shown, told = context.new_page(), []
    shown.on("console", lambda message: told.append(message.text))
    shown.on("pageerror", lambda error: told.append(str(error)))
    shown.on(
        "request", lambda asked: told.append(asked.url) if asked.url.startswith("http") else None
    )
    shown.goto(file.as_uri())
    yield shown
    context.close()
    assert told == []


def test_pointing_at_a_cell_shows_its_images(page: Any) -> None:
    title = page.locator("#cell h3").inner_text()
    cells = page.locator("#matrix rect.miss")
    assert cells.count() > 0
    for place in range(cells.count()):
        cells.nth(place).hover()
        assert " taken for " in page.locator("#cell h3").inner_text()
        assert page.locator("#cell img").count() >= 1
    page.locator("#matrix rect.hit").first.hover()
    assert page.locator("#cell h3").inner_text() != title
    assert "right" in page.locator("#cell").inner_text()


def test_the_keyboard_walks_the_mistakes_and_zooms(page: Any) -> None:
    page.locator("#matrix").focus()
    seen = set()
    for _ in range(page.locator("#matrix rect.miss").count()):
        page.keyboard.press("ArrowRight")
        seen.add(page.locator("#cell h3").inner_text())
    assert len(seen) == page.locator("#matrix rect.miss").count()
    page.keyboard.press("+")
    page.keyboard.press("-")


def test_the_table_sorts_by_every_column_and_filters(page: Any) -> None:
    rows, heads = page.locator("#classes tbody tr"), page.locator("#classes th")

    def column(number: int) -> list[str]:
        return [row.locator("td").nth(number).get_attribute("data-v") for row in rows.all()]

    for number in range(heads.count()):
        heads.nth(number).locator("button").click()
        assert heads.nth(number).get_attribute("aria-sort") == "ascending"
        rising = column(number)
        assert rising == (
            sorted(rising, key=float) if 1 <= number <= 4 else sorted(rising, key=str.lower)
        )
        heads.nth(number).locator("button").click()
        assert column(number) == rising[::-1] or len(set(rising)) < len(rising)
    page.locator("#filter").fill(column(0)[0])
    assert page.locator("#classes tbody tr:visible").count() == 1


def test_the_theme_follows_the_system_until_it_is_chosen(
    page: Any, check_theme: Callable[[Any], None]
) -> None:
    check_theme(page)


@pytest.mark.parametrize("width", [400, 768, 1280])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#matrix").bounding_box()["width"] > 0.7 * min(width, 700) - 40


def test_it_prints(page: Any) -> None:
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and not page.locator("#theme").is_visible()
    assert page.pdf().startswith(b"%PDF")
