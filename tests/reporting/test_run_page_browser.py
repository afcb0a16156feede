"""The report page in headless Chromium: every control, themes, widths, print, accessibility."""

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
    page.locator("#all-classes > summary").click()
    rows = page.locator("#classes tbody tr")
    heads = page.locator("#classes thead th")

    def column(index: int) -> list[str]:
        cells = [row.locator("th, td").nth(index) for row in rows.all()]
        return [cell.get_attribute("data-v") or cell.inner_text() for cell in cells]

    for index in range(heads.count()):
        head = heads.nth(index)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        rising = column(index)
        numeric = 1 <= index <= 5
        assert rising == sorted(rising, key=float if numeric else str.lower)
        head.locator("button").click()
        assert column(index) == rising[::-1] or len(set(rising)) < len(rising)
    page.locator("#filter").fill(column(0)[0])
    assert page.locator("#classes tbody tr:visible").count() == 1


def test_theme(page: Any, check_theme: Callable[[Any], None]) -> None:
    check_theme(page)


def test_theme_is_kept(page: Any) -> None:
    page.locator("#theme").click()
    chosen = page.locator("#theme").inner_text()
    page.reload()
    assert page.locator("#theme").inner_text() == chosen != "Theme: system"


def test_section_bar_follows(page: Any) -> None:
    for name in ("trust", "data"):
        page.locator(f"nav a[href='#{name}']").click()
        page.wait_for_function(
            f"document.querySelector('nav a[aria-current]')?.hash === '#{name}'", timeout=5000
        )


def test_image_opens_large_and_keys_go_on(page: Any) -> None:
    page.locator("#unsure button.open, #surest button.open").first.click()
    dialog = page.locator("#large")
    assert dialog.is_visible()
    first = dialog.locator("img").get_attribute("alt")
    assert dialog.locator(".tops span").count() >= 2
    page.keyboard.press("ArrowRight")
    assert dialog.locator("img").get_attribute("alt") != first
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("img").get_attribute("alt") == first
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_map_lists_an_area_and_a_class(page: Any) -> None:
    page.locator("#map-class").select_option(index=1)
    assert (
        page.locator("#picked h3")
        .inner_text()
        .startswith(page.locator("#map-class option").nth(1).inner_text())
    )
    page.locator("#map-clear").click()
    assert not page.locator("#picked").is_visible()
    page.locator("#map-frame svg").scroll_into_view_if_needed()
    box = page.locator("#map-frame svg").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] - 1, steps=3)
    page.mouse.up()
    everything = page.evaluate("data.map.length")
    assert f"{everything} images" in page.locator("#picked h3").inner_text()


@pytest.mark.parametrize("kind", ["svg", "png", "csv"])
def test_charts_can_be_taken_away(page: Any, kind: str, tmp_path: Path) -> None:
    chart = page.locator("#weakest .chart").first
    with page.expect_download() as download:
        chart.locator(f"button[data-as={kind}]").click()
    assert download.value.suggested_filename == f"weakest-classes.{kind}"
    download.value.save_as(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    assert content.startswith({"svg": b"<svg", "png": b"\x89PNG", "csv": b"class,images"}[kind])
    assert b"var(--" not in content


def test_copy_and_cite(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#markdown").click()
    page.wait_for_function("document.querySelector('#markdown').textContent === 'Copied'")
    assert "Right on" in page.evaluate("navigator.clipboard.readText()")
    page.locator("button[data-dialog=cite]").click()
    assert "@software{bestiary" in page.locator("#bibtex").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Any, scheme: str, violations: Callable[[Any], list[str]]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert violations(page) == []


@pytest.mark.parametrize("width", [400, 768, 1280])
def test_page_fits_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#matrix").bounding_box()["width"] > 0.6 * min(width, 700) - 40


def test_print(page: Any) -> None:
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and not page.locator("#theme").is_visible()
    assert page.pdf().startswith(b"%PDF")
