"""The page of suspect labels in a browser: keys, fixes.csv, unsaved decisions, contrast."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import bestiary
from bestiary.cli import main
from bestiary.evaluation.labels import review_labels
from bestiary.reporting.labels_page import labels_page
from bestiary.run.run import Run

ODD = 'a/</script> "x", y.jpg'


@pytest.fixture
def page(strayed: Run, tmp_path: Path) -> str:
    """The page of two suspects: stray.jpg, and a missing file with an odd name."""
    report = review_labels(strayed, tmp_path / "labels")
    odd = pl.DataFrame([(ODD, "a", "b", 0.5, None)], schema=report.fixes.schema, orient="row")
    return labels_page(
        replace(report, fixes=pl.concat([report.fixes, odd]), typical={}, overlap=odd)
    )


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a file (path, width, scheme); the test fails on console messages and errors."""
    contexts = []
    complaints = []

    def open_file(file: Path, width: int = 1280, scheme: str = "light") -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: dialog.accept())
        tab.goto(file.as_uri())
        return tab

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []


def save(tab: Any, file: Path) -> Path:
    with tab.expect_download() as download:
        tab.keyboard.press("s")
    assert download.value.suggested_filename == "fixes.csv"
    download.value.save_as(file)
    return file


def test_page_is_self_contained_and_escaped(page: str) -> None:
    assert not re.search(r"https?://|<link(?! rel=.icon. href=.data:)|@import|url\(", page)
    assert page.count("</script>") == 1


@pytest.mark.browser
def test_keys_and_saved_fixes(page: str, open_page: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "labels.html").write_text(page)
    tab = open_page(tmp_path / "labels.html")
    assert tab.text_content("#progress") == "Image 1 of 2; 0 decided"
    for key in ("r", "ArrowLeft", "u", "d", "k"):
        tab.keyboard.press(key)
    assert tab.text_content("#progress").startswith(
        "Image 2 of 2; 2 decided: 1 kept, 1 dropped. All are decided"
    )
    assert tab.get_attribute("#keep", "aria-pressed") == "true"
    assert tab.get_attribute("#drop", "aria-pressed") == "false"
    saved = pl.read_csv(save(tab, tmp_path / "fixes.csv"))
    assert saved["action"].to_list() == ["drop", "keep"]
    assert saved["path"].to_list()[1] == ODD
    assert tab.text_content("#progress").endswith("1 kept, 1 dropped")


@pytest.mark.browser
def test_surest_are_relabeled_at_once_and_undone(
    strayed: Run, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    report = review_labels(strayed, tmp_path / "labels")
    (path,) = report.fixes["path"]
    (_, given), (suggested, share) = report.shares[path]
    assert given < 0.05 < 0.95 <= share, "the fixture's members are confident"
    (tmp_path / "labels.html").write_text(labels_page(report))
    tab = open_page(tmp_path / "labels.html")
    assert tab.text_content("#surest").startswith("Relabel the 1 surest")
    assert tab.text_content("#other-share") == f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
    tab.click("#surest")
    assert tab.get_attribute("#relabel", "aria-pressed") == "true"
    assert tab.is_visible("#end") and tab.is_disabled("#surest")
    tab.keyboard.press("z")
    assert not tab.is_visible("#end") and tab.is_enabled("#surest")
    tab.click("#surest")
    saved = pl.read_csv(save(tab, tmp_path / "fixes.csv"))
    assert saved["action"].to_list() == ["relabel"]
    assert saved["suggested"].to_list() == [suggested]


def test_printed_command_works_as_pasted(strayed: Run, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    report = review_labels(strayed, folder)
    command = str(report).splitlines()[-1].removeprefix("then: ")
    words = shlex.split(command)
    assert words[:2] == ["bestiary", "train"] and words[2] == str(strayed.read_root())
    assert words[3:] == [f"{strayed.path}-fixed", "--fixes", str(folder / "fixes.csv")]
    assert "--fixes ~/Downloads/fixes.csv" in labels_page(report)


@pytest.mark.browser
def test_train_with_fixes_of_the_page(
    strayed: Run, tiny: Path, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    assert main(["labels", str(strayed.path)]) == 0
    tab = open_page(strayed.path / "labels" / "labels.html")
    loaded = "[...document.images].every(image => image.naturalWidth > 0) && document.images.length"
    assert tab.evaluate(loaded) == 7
    names = sorted(strayed.read_table("manifest.parquet")["label"].unique())
    tab.select_option("#suggested", names[2])
    assert tab.text_content("#other") == names[2]
    fixes = save(tab, tmp_path / "fixes.csv")
    fixed = bestiary.train(
        strayed.read_root(), tmp_path / "fixed", recipe=tiny, folds=2, fixes=fixes, quiet=True
    )
    labels = dict(fixed.read_table("manifest.parquet").select("path", "label").iter_rows())
    assert labels[f"{names[1]}/stray.jpg"] == names[2]
    assert pl.read_csv(fixed.file("fixes.csv"))["action"].to_list() == ["relabel"]


@pytest.mark.browser
def test_unsaved_decisions_survive_reload(
    page: str, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "labels.html").write_text(page)
    tab = open_page(tmp_path / "labels.html")
    tab.keyboard.press("d")
    # Another process of Chromium keeps the storage, and may be late.
    for _ in range(20):
        tab.reload()
        if tab.text_content("#progress") != "Image 1 of 2; 0 decided":
            break
        tab.wait_for_timeout(100)
    assert tab.text_content("#progress") == "Image 1 of 2; 1 decided: 1 dropped; not saved"


@pytest.mark.browser
def test_page_without_suspects(strayed: Run, open_page: Callable[..., Any], tmp_path: Path) -> None:
    report = review_labels(strayed, tmp_path / "labels")
    none = replace(report, fixes=report.fixes.clear(), typical={})
    (tmp_path / "labels.html").write_text(labels_page(none))
    tab = open_page(tmp_path / "labels.html")
    assert tab.text_content("#progress") == "No label is left to decide."
    assert not tab.is_visible("main") and not tab.is_visible("#save")


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_width_and_contrast(
    page: str, beasts: Path, open_page: Callable[..., Any], width: int, scheme: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.html").write_text(page)
    bestiary.scan(beasts, out=tmp_path / "scan", quiet=True)
    for file in (tmp_path / "labels.html", tmp_path / "scan" / "scan.html"):
        tab = open_page(file, width, scheme)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(CONTRAST) >= 4.5


# The least contrast (WCAG 2.1, 1.4.3) of any text with its background.
CONTRAST = """() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const behind = at => {
    for (; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (texts.nextNode()) {
    const at = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !at.checkVisibility()) continue;
    if (at.closest("script, option")) continue;
    const [a, b] = [light(parts(getComputedStyle(at).color)), light(behind(at))];
    least = Math.min(least, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return least;
}"""
