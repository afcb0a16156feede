"""The page of an audit: self-contained, each finding with its images, file names escaped."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bestiary.beasts.sample import draw_sample
from bestiary.cli import main

ODD = '<img src=x onerror=alert(1)> & "co".jpg'


@pytest.fixture
def page(beasts: Path, tmp_path: Path) -> str:
    """Page of a dataset with a leak, a label conflict, an empty file and an odd file name."""
    data = tmp_path / "data"
    shutil.copytree(beasts, data / "train", ignore=shutil.ignore_patterns("truth.csv"))
    one, other = (sorted(folder.iterdir()) for folder in sorted((data / "train").iterdir())[:2])
    (data / "test").mkdir()
    shutil.copy(one[0], data / "test" / "leak.jpg")
    shutil.copy(one[1], other[0].with_name(ODD))
    one[0].with_name("empty.jpg").touch()
    assert main(["scan", str(data), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    return (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")


def test_findings_with_images(page: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Verdicts",
        "Leaks (1)",
        "Label conflicts (1)",
        "Unusable files (1)",
        "Sizes, shapes and light",
        "Classes (3)",
    ]
    findings = page[: page.index('<section id="sizes">')]
    assert len(re.findall(r'<img src="data:image/jpeg;base64,[A-Za-z0-9+/=]+"', findings)) == 4
    strips = page[page.index('<section id="classes">') :]
    assert len(re.findall("<img ", strips)) == 3 * 5
    assert "test/<wbr>leak.jpg" in page and "empty file" in page


def test_gravest_verdicts_come_first(page: str) -> None:
    assert "<h1>2\N{NO-BREAK SPACE}things to settle before you train</h1>" in page
    levels = re.findall(r'<span class="level">(.*?)</span>', page)
    assert levels == ["Settle", "Settle", "Look at", "Look at", "Fine"]
    titles = [
        title.replace("\N{NO-BREAK SPACE}", " ") for title in re.findall("<h3>(.*?)</h3>", page)
    ]
    assert titles[:5] == [
        "1 of 1 test image has a copy among the images to train on",
        "2 images in 1 group of copies have different labels",
        "1 file cannot be used",
        "2 classes have fewer than 10 images",
        "Looked for and not found: copies, odd images",
    ]
    assert re.search(r"<pre id=.command.>bestiary probe \S+data RUN</pre>", page)


def test_nothing_found_is_said(tmp_path: Path) -> None:
    draw_sample(tmp_path / "data", species=2, per_species=12, size=48)
    assert main(["scan", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    page = (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    assert "<h1>Ready to train: no problem was found</h1>" in page
    assert "copies with different labels, copies, unusable files, odd images" in page
    assert "leaks into" not in page, "there is no test split to leak into"


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_scan_accessibility(
    chromium: Any,
    page: str,
    tmp_path: Path,
    width: int,
    scheme: str,
    violations: Callable[[Any], list[str]],
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto((tmp_path / "out" / "scan.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(tab) == []
    context.close()


def test_pairs_are_shown_with_what_differs_and_their_proof(beasts: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(beasts, data, ignore=shutil.ignore_patterns("truth.csv"))
    one = sorted(next(folder for folder in sorted(data.iterdir())).iterdir())[0]
    with Image.open(one) as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(one.with_name("mirror.jpg"), quality=92)
    assert main(["scan", str(data), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    page = (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    assert "Near duplicates (1)" in page
    plain = page.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"<li><b>mirrored</b> \((&gt; )?[\d.]+ % sure, detail agrees .* %\)", plain)
    assert "--not-duplicates" in page
    assert "Is a pair none?" in page


def test_page_loads_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(
        r"https?://|<script src|<link(?! rel=.icon. href=.data:)|@import|url\(", page
    )


def test_file_names_are_escaped(page: str) -> None:
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &#34;co&#34;.jpg" in page
