"""Predictions to review: which are shown, the page's keys, its accuracy, and reviewed.csv."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.cli import main
from bestiary.data.listing import list_dataset
from bestiary.ensemble.prediction_table import TABLE_SCHEMA
from bestiary.errors import ArgumentError
from bestiary.evaluation.review import AUDITED_IMAGES, MAX_UNSURE, Review, choose_review
from bestiary.recipe.sections import DataOptions
from bestiary.reporting.review_page import review_page
from bestiary.run.run import Run
from bestiary.stats.intervals import share_interval

ODD = '=a/</script> "x", y.jpg'


def predictions(count: int, sure: int) -> pl.DataFrame:
    """Answers of which the first `sure` are sure, then every third is unknown."""
    rows: list[dict[str, Any]] = []
    for index in range(count):
        confidence = 0.99 if index < sure else 0.3 + 0.4 * index / count
        row = {name: None for name in TABLE_SCHEMA} | {
            "path": f"{index:05}.jpg",
            "label": "lynx",
            "confidence": confidence,
            "label_2": "wild cat",
            "confidence_2": 1 - confidence,
            "prediction_set": "lynx|wild cat",
            "accepted": index < sure,
            "unknown": index >= sure and index % 3 == 0,
        }
        rows.append(row)
    return pl.DataFrame(rows, schema=TABLE_SCHEMA)


def test_audit_is_a_random_draw_of_all() -> None:
    table = predictions(3000, 2700)
    review = choose_review(table, Path("x"), ["lynx"])
    audit = review.images.filter("audit")
    assert audit.height == AUDITED_IMAGES
    assert 0.8 < audit["accepted"].mean() < 0.98, "drawn from all, not from the unsure"
    again = choose_review(table, Path("x"), ["lynx"]).images
    other = choose_review(table, Path("x"), ["lynx"], seed=1).images
    assert again.equals(review.images) and not other.equals(review.images)
    assert (review.total, review.unsure) == (3000, 300)


def test_least_sure_come_first() -> None:
    review = choose_review(predictions(3000, 1000), Path("x"), ["lynx"])
    shown = review.images.filter(~pl.col("audit"))
    assert shown.height == MAX_UNSURE and not shown["accepted"].any()
    assert shown["unknown"].all(), "650 are unknown, more than are shown"
    assert shown["confidence"].is_sorted()


def test_unreadable_and_few_images() -> None:
    table = predictions(12, 6).with_columns(
        error=pl.when(pl.col("path") == "00003.jpg").then(pl.lit("truncated")).otherwise(None)
    )
    review = choose_review(table, Path("x"), ["lynx"])
    assert review.total == review.images.height == 11
    assert "00003.jpg" not in review.images["path"].to_list()


# No name of a class runs into its confidence, and a short one stands on one line.
NAMES_HAVE_ROOM = """
Array.from(document.querySelectorAll("#choices button")).every(button => {
  const [name, confidence] = Array.from(button.querySelectorAll("span"), x => x.getClientRects());
  return name[0].right <= confidence[0].left && name[0].width > 100;
})
"""


@pytest.fixture
def page(beasts: Path, tmp_path: Path) -> Path:
    """The page of nine images of the audit and three unsure ones, two with odd names."""
    paths = [file.relative_to(beasts).as_posix() for file in sorted(beasts.rglob("*.jpg"))[:11]]
    table = predictions(12, 6).with_columns(path=pl.Series([*paths, ODD]), audit=pl.lit(True))
    images = table.with_columns(audit=pl.int_range(12) < 9)
    review = Review(beasts, ["lynx", "wild cat", "</script>"], images, 40, 6)
    file = tmp_path / "review.html"
    file.write_text(review_page(review, "my run"))
    return file


@pytest.fixture
def tab(chromium: Any, page: Path) -> Iterator[Any]:
    """The page in a browser; the test fails on console messages and errors."""
    complaints: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.goto(page.as_uri())
    yield tab
    context.close()
    assert complaints == []


def save(tab: Any, file: Path) -> pl.DataFrame:
    with tab.expect_download() as download:
        tab.keyboard.press("s")
    assert download.value.suggested_filename == "reviewed.csv"
    download.value.save_as(file)
    return pl.read_csv(file)


def test_page_is_self_contained_and_escaped(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"https?://|<link rel=.stylesheet|@import|url\(", text)
    assert text.count("</script>") == 1


@pytest.mark.browser
def test_accuracy_of_the_audit_is_wilsons(tab: Any) -> None:
    for key in "aaaaaa2x":  # six right, one wrong, one that cannot be told
        tab.keyboard.press(key)
    hits = np.array([True] * 6 + [False])
    expected = share_interval(hits)
    assert tab.text_content("#accuracy") == f"{100 * expected.value:.1f}\N{NO-BREAK SPACE}%"
    words = tab.text_content("#audit")
    assert words.startswith("7 of 9 checked; 1 could not be told and are not counted.")
    assert f"{100 * expected.low:.1f}\N{EN DASH}{100 * expected.high:.1f}" in words


@pytest.mark.browser
def test_reviewed_table_is_one_to_train_on(tab: Any, beasts: Path, tmp_path: Path) -> None:
    tab.keyboard.press("a")
    tab.keyboard.press("2")
    tab.keyboard.press("e")
    tab.keyboard.type("new beast")
    tab.keyboard.press("Enter")
    tab.keyboard.press("x")
    tab.click("#tab-unsure")
    for key in ("ArrowRight", "ArrowRight", "a"):
        tab.keyboard.press(key)
    file = tmp_path / "reviewed.csv"
    table = save(tab, file)
    assert table["label"].to_list() == ["lynx", "wild cat", "new beast", "lynx"]
    assert table["path"].to_list()[-1] == "'" + ODD, "no formula in a spreadsheet"
    assert table["audit"].to_list() == [True, True, True, False]

    pl.concat([table.head(3)]).write_csv(file)
    listing = list_dataset(file, DataOptions(root=str(beasts)))
    assert sorted(listing.table["label"]) == ["lynx", "new beast", "wild cat"]
    assert "not saved" not in tab.text_content("#progress")


@pytest.mark.browser
def test_many_are_accepted_at_once(tab: Any, tmp_path: Path) -> None:
    tab.keyboard.press("g")
    tab.click("#tiles figure:nth-child(2) button")
    tab.click("#tiles figure:nth-child(5) button")
    tab.fill("#to", "wild cat")
    tab.click("#relabel button")
    assert "2 decided" in tab.text_content("#progress")
    tab.click("#accept")
    assert tab.is_visible("#end"), "all are decided"
    table = save(tab, tmp_path / "reviewed.csv")
    assert table["label"].to_list().count("wild cat") == 2 and table.height == 12


@pytest.mark.browser
def test_decisions_survive_a_reload(tab: Any) -> None:
    tab.keyboard.press("2")
    for _ in range(20):  # the storage is another process's, and may be late
        tab.reload()
        if "1 of 9" in tab.text_content("#tab-audit"):
            break
        tab.wait_for_timeout(100)
    assert tab.text_content("#accuracy") == "0.0\N{NO-BREAK SPACE}%"
    tab.keyboard.press("u")
    assert tab.text_content("#accuracy") == "\N{EN DASH}"


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_width_and_accessibility(
    chromium: Any, page: Path, width: int, scheme: str, violations: Callable[[Any], list[str]]
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(page.as_uri())
    for grid in (False, True):
        if grid:
            tab.keyboard.press("g")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(tab) == []
        assert grid or tab.evaluate(NAMES_HAVE_ROOM)
    context.close()


def test_predict_writes_the_page(
    trained: Run, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    command = ["predict", str(trained.path), str(beasts), "--out", str(tmp_path / "p.csv")]
    assert main([*command, "--review", str(tmp_path / "review")]) == 0
    text = (tmp_path / "review" / "review.html").read_text()
    assert text.count("data:image/jpeg") == 27 and str(beasts) in text
    line = fails(*command, "--review", tmp_path / "other", "--format", "submission")
    assert "--review: shows a finished full table; leave --format submission out" in line
    with pytest.raises(ArgumentError, match="leave --watch out"):
        bestiary.predict(trained.path, beasts, out="x.csv", review="x", watch=True, quiet=True)
