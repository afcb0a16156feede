"""The verb `count`: what is counted, what is left out, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.evaluation.drifting import World
from bestiary.run.run import Run
from bestiary.stats.drift import Drift
from bestiary.stats.intervals import Interval


@pytest.fixture(scope="module")
def new_beasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "beasts"
    draw_sample(folder, species=3, per_species=4, size=48, seed=5)
    return folder


def test_new_images_are_counted(trained: Run, new_beasts: Path, tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    counts = bestiary.count(trained.path, new_beasts, out=file, despite_drift=True, quiet=True)
    table = counts.table
    assert table["images"].sum() == pytest.approx(12)
    assert table["labeled"].sum() == 12
    assert (table["low"] <= table["images"]).all()
    assert (table["images"] <= table["high"]).all()
    assert pl.read_csv(file).columns == table.columns
    text = str(counts).replace("\N{NO-BREAK SPACE}", " ")
    assert "12 images in 12 groups" in text
    assert "Drift: too few comparable images to say (12 of 20)." in text
    assert f"Table: {file}" in text
    assert max(len(line) for line in text.split("12 images in")[0].splitlines()) <= 80


def test_trained_images_are_left_out(
    trained: Run, beasts: Path, new_beasts: Path, fails: Callable[..., str]
) -> None:
    assert "was trained on all of these" in fails("count", trained.path, beasts)
    both = bestiary.count(trained.path, beasts, new_beasts, despite_drift=True, quiet=True)
    assert both.shares.images == 12


def test_another_world_is_refused(
    trained: Run, new_beasts: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drift = Drift(Interval(0.9, 0.8, 0.95), 0.002, 100, 100, np.zeros(12), {})
    monkeypatch.setattr(World, "compare", lambda *_: drift)
    line = fails("count", trained.path, new_beasts).replace("\N{NO-BREAK SPACE}", " ")
    assert "Drift: the new images" in line
    assert "AUC 0.90" in line
    assert "--despite-drift" in line
    counts = bestiary.count(trained.path, new_beasts, despite_drift=True, quiet=True)
    assert "Drift: the new images" in str(counts)


def test_drift_is_that_of_the_verb(
    trained: Run, new_beasts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By logits, which is what `count` counts by."""
    monkeypatch.setattr("bestiary.evaluation.drift_text.both_features", lambda *_: None)
    counts = bestiary.count(trained.path, new_beasts, despite_drift=True, quiet=True)
    report = bestiary.drift(trained.path, new_beasts, quiet=True)
    assert report.by == "logits" and "are not in this machine's cache" in str(report)
    drift = report.drift
    assert (counts.drift.auc, counts.drift.p_value) == (drift.auc, drift.p_value)


def test_out_must_be_a_table(trained: Run, new_beasts: Path, fails: Callable[..., str]) -> None:
    assert "must be the name of a .csv" in fails(
        "count", trained.path, new_beasts, "--out", "counts.xlsx"
    )


@pytest.mark.parametrize("verb", ["count", "next", "drift"])
def test_out_is_a_new_table(
    trained: Run, new_beasts: Path, tmp_path: Path, fails: Callable[..., str], verb: str
) -> None:
    """The one that is there may be the images' own, or hold labels that a person has typed."""
    (tmp_path / "mine.csv").write_text("path,label\n")
    line = fails(verb, trained.path, new_beasts, "--out", tmp_path / "mine.csv")
    assert "is not overwritten" in line
    assert (tmp_path / "mine.csv").read_text() == "path,label\n"
