"""The page of an audit: self-contained, each finding with its images, file names escaped."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

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
        "Leaks (1)",
        "Label conflicts (1)",
        "Unusable files (1)",
        "Classes (3)",
    ]
    assert len(re.findall(r'<img src="data:image/jpeg;base64,[A-Za-z0-9+/=]+"', page)) == 4
    assert "test/leak.jpg" in page and "empty file" in page


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
    assert re.search(r"<li>.*mirror\.jpg.*: mirrored;\s*detail agrees \d+ %, [\d.]+ % sure", page)
    assert "--not-duplicates" in page
    assert "no near duplicate?" in page


def test_page_loads_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)


def test_file_names_are_escaped(page: str) -> None:
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &#34;co&#34;.jpg" in page
