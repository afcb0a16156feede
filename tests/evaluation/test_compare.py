"""Paired differences: their promise, their test, and what `compare` writes."""

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

import bestiary
from bestiary.cli import main
from bestiary.errors import DataError
from bestiary.reporting.compare_page import latex_table
from bestiary.reporting.sections import Table
from bestiary.run.oof import read_oof, write_oof
from bestiary.run.run import Run
from bestiary.stats.paired import paired_difference


def test_value_counts_and_test_are_mcnemars() -> None:
    first, second = (
        np.array([1, 1, 0, 0, 0, 1, 1, 0], bool),
        np.array([1, 0, 1, 1, 1, 1, 1, 0], bool),
    )
    found = paired_difference(first, second, np.arange(8))
    assert (found.wins, found.losses, found.value) == (3, 1, 0.25)
    assert found.p == pytest.approx(binomtest(1, 4).pvalue)
    assert found.low < 0.25 < found.high


def test_intervals_hold_the_true_difference_and_the_test_keeps_its_level() -> None:
    rng, held, surprised = np.random.default_rng(0), 0, 0
    truth = _truth(0.15) - _truth(0.2)
    for _ in range(400):
        hard = rng.random(300)
        first, second, same = (
            hard + rng.normal(0, 0.15, 300) > limit for limit in (0.2, 0.15, 0.2)
        )
        found = paired_difference(first, second, np.arange(300))
        held += found.low <= truth <= found.high
        surprised += paired_difference(first, same, np.arange(300)).p < 0.05
    assert 370 <= held <= 395
    assert surprised <= 25  # an exact test errs on the safe side


def _truth(limit: float) -> float:
    hard = np.random.default_rng(1).random(2_000_000)
    return float((hard + np.random.default_rng(2).normal(0, 0.15, 2_000_000) > limit).mean())


def test_copies_count_once() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 200)) > 0.3
    alone = paired_difference(first, second, np.arange(200))
    copied = paired_difference(
        np.repeat(first, 5), np.repeat(second, 5), np.repeat(np.arange(200), 5)
    )
    assert copied.p == pytest.approx(alone.p)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.02)


def test_runs_that_agree_have_no_difference() -> None:
    hits = np.arange(50) % 2 == 0
    found = paired_difference(hits, hits, np.arange(50))
    assert (found.value, found.p, found.wins) == (0.0, 1.0, 0)
    assert found.low < 0 < found.high


@pytest.fixture
def other(trained: Run, tmp_path: Path) -> Run:
    """A copy of the trained run whose first fold gets everything right."""
    run = Run(Path(shutil.copytree(trained.path, tmp_path / "b_est & co")))
    table, classes = read_oof(run.fold(0))
    right = np.array(
        [[9.0 * (name == label) for name in classes] for label in table["label"]], np.float32
    )
    write_oof(
        run.fold(0),
        table.with_columns(pl.Series("logits", right, dtype=table.schema["logits"])),
        classes,
    )
    return run


def test_compare_writes_page_markdown_and_latex(
    trained: Run, other: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["compare", str(trained.path), str(other.path), "--out", str(tmp_path / "out")]) == 0
    )
    printed = capsys.readouterr().out
    found = bestiary.compare(trained.path, other.path).comparison
    gained = found.differences[0]
    assert gained.losses == 0 and gained.wins == found.changed(1, won=True).height > 0
    assert gained.value == pytest.approx(gained.wins / found.table.height)
    assert f"{gained.value:+.4f}" in printed
    page = (tmp_path / "out" / "compare.html").read_text()
    assert len(re.findall(r'<img src="data:image/jpeg', page)) == gained.wins
    assert "b_est &amp; co" in page and not re.search(r"https?://|<script", page)
    assert (
        f"| b_est & co | {found.accuracies[1].value:.4f} |"
        in (tmp_path / "out" / "compare.md").read_text()
    )
    assert r"b\_est \& co" in (tmp_path / "out" / "compare.tex").read_text()


def test_runs_without_common_images_are_refused(trained: Run, other: Run) -> None:
    manifest = other.read_table("manifest.parquet")
    other.write_table(
        "manifest.parquet", manifest.with_columns(pl.col("sha256").str.reverse()), {"root": "/"}
    )
    other.write_recipe(other.read_recipe())  # with the sums of the files as they are now
    with pytest.raises(DataError, match="no image in common"):
        bestiary.compare(trained.path, other.path)


def test_latex_is_escaped() -> None:
    text = latex_table(Table(("a_b", "x"), [("50 % & {more}", "~^\\")]), "c#")
    assert r"50 \% \& \{more\}" in text
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
