"""`compare`: the page, Markdown and LaTeX that it writes, and what it refuses."""

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.cli import main
from bestiary.errors import DataError
from bestiary.numbers import percent, points
from bestiary.reporting.compare_page import latex_table
from bestiary.reporting.sections import Table
from bestiary.run.oof import read_oof, write_oof
from bestiary.run.run import Run


@pytest.fixture
def other(trained: Run, tmp_path: Path) -> Run:
    """A copy of the trained run whose first fold has every image right."""
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "b_est & co")))
    table, classes = read_oof(run.fold(0))
    rows = [[9.0 * (name == label) for name in classes] for label in table["label"]]
    logits = pl.Series("logits", np.array(rows, np.float32), dtype=table.schema["logits"])
    write_oof(run.fold(0), table.with_columns(logits), classes)
    return run


def test_compare_writes_html_markdown_latex(
    trained: Run, other: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", str(trained.path), str(other.path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    comparison = bestiary.compare(trained.path, other.path).comparison
    difference = comparison.differences[0]
    assert difference.losses == 0
    assert difference.wins == comparison.changed(1, won=True).height > 0
    assert difference.value == pytest.approx(difference.wins / comparison.table.height)
    assert points(difference.value) in printed
    lines = [line for line in printed.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    page = (out / "compare.html").read_text()
    assert len(re.findall(r'<img src="data:image/jpeg', page)) == difference.wins
    assert "b_est &amp; co" in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert 'data-name="differences"' in page
    markdown = (out / "compare.md").read_text()
    assert f"| b_est & co | {percent(comparison.accuracies[1].value)} |" in markdown
    assert r"b\_est \& co" in (out / "compare.tex").read_text()


def test_compare_refuses_runs_without_shared_images(trained: Run, other: Run) -> None:
    manifest = other.read_table("manifest.parquet")
    other.write_table(
        "manifest.parquet", manifest.with_columns(pl.col("sha256").str.reverse()), {"root": "/"}
    )
    other.write_recipe(other.read_recipe())  # updates the checksums
    with pytest.raises(DataError, match="no image in common"):
        bestiary.compare(trained.path, other.path)


def test_latex_is_escaped() -> None:
    text = latex_table(Table(("a_b", "x"), [("50 % & {more}", "~^\\")]), "c#")
    assert r"50 \% \& \{more\}" in text
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}" in text


def test_latex_stays_on_the_page() -> None:
    changes = ", ".join(f"section.option_{number}=12345" for number in range(20))
    text = latex_table(Table(("run", "x"), [("a", "1")]), "c", [("a_1", changes)])
    assert r"\parbox{\linewidth}" in text and r"\textbf{a\_1}" in text
    assert changes.replace("_", r"\_") not in text.split(r"\end{tabular}")[0]


def test_page_links_to_reports(trained: Run, other: Run, tmp_path: Path) -> None:
    bestiary.report(other.path, no_saliency=True, quiet=True)
    bestiary.compare(trained.path, other.path, out=tmp_path / "out")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert 'href="../b_est%20%26%20co/report.html"' in page
