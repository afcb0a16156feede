"""An ensemble as Python users see it: accuracy, frames and its card."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble as Predictor
from bestiary.ensemble.frames import FRAME_SCHEMA
from bestiary.errors import ArgumentError, DataError
from bestiary.numbers import count


@pytest.fixture(scope="module")
def ensemble(trained: bestiary.Run) -> bestiary.Ensemble:
    return bestiary.load(trained)


@pytest.fixture
def files(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))


def test_score_is_accuracy(
    ensemble: bestiary.Ensemble, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [file.parent.name for file in files]
    right = ensemble.predict(files) == labels
    assert ensemble.score(files, labels) == right.mean()
    assert "images were used to train this run" in capsys.readouterr().err
    assert ensemble.score(iter(files), pl.Series(labels)) == right.mean()
    weights = np.arange(len(files))
    assert ensemble.score(files, labels, weights) == pytest.approx(np.average(right, 0, weights))
    assert ensemble.score(files[0], labels[0]) == right[0]


def test_score_without_labels(ensemble: bestiary.Ensemble, files: list[Path]) -> None:
    with pytest.raises(ArgumentError, match=r"logits come from iter_logits\(images\)"):
        ensemble.score(files)


def test_score_checks_labels(
    ensemble: bestiary.Ensemble, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArgumentError, match="there are 1 for 2 images"):
        ensemble.score(files[:2], ["x"])
    with pytest.raises(ArgumentError, match=r"none is a class of the run \(first \['x'\]"):
        ensemble.score(files[:2], ["x", "y"])
    with pytest.raises(ArgumentError, match="none is a class"):
        ensemble.score([], [])
    ensemble.score(files[:2], [files[0].parent.name, "x"])
    assert "label is no class of the run (first 'x')" in capsys.readouterr().err


@pytest.mark.parametrize("weights", [5, "a", ["a"], [1, 2], [-1], [float("nan")], object(), [0]])
def test_score_checks_weights(ensemble: bestiary.Ensemble, files: list[Path], weights: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^sample_weight: is .*; give a number of 0 or more"):
        ensemble.score(files[:1], [files[0].parent.name], weights)


@pytest.mark.parametrize("run", [None, 5, b"run", ["run"], object()])
def test_what_is_no_run(run: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^load: run is .*; give a text or a path or a Run$"):
        bestiary.load(run)
    with pytest.raises(ArgumentError, match=r"^Ensemble\.load: run is .*; give a text or a path"):
        bestiary.Ensemble.load(run)


def test_frame_of_names_that_are_no_text(
    ensemble: bestiary.Ensemble, files: list[Path], tmp_path: Path
) -> None:
    """A name of a Linux file may be bytes that are no UTF-8, and a frame's texts are UTF-8."""
    frame = ensemble.predict_frame(["a\0b", "\ud800", f"{tmp_path}/\udcff.jpg"], quiet=True)
    assert frame["path"].to_list() == ["a\0b", r"\ud800", rf"{tmp_path}/\udcff.jpg"]
    assert frame["error"].null_count() == 0


def test_frame_refuses_other_sets(ensemble: bestiary.Ensemble, files: list[Path]) -> None:
    with pytest.raises(ArgumentError, match="--sets 5: choose all, class"):
        ensemble.predict_frame(files[:1], sets=5)


def test_frame_agrees_with_predict(ensemble: bestiary.Ensemble, files: list[Path]) -> None:
    frame = ensemble.predict_frame(files[::-1], quiet=True)
    assert dict(frame.schema) == FRAME_SCHEMA
    assert frame["path"].to_list() == [str(file) for file in files[::-1]]
    assert frame["label"].to_list() == ensemble.predict(files[::-1]).tolist()
    probabilities = ensemble.predict_proba(files[::-1]).max(axis=1)
    np.testing.assert_allclose(frame["confidence"], probabilities)
    assert all(
        label == names[0]
        for label, names in frame.select("label", "prediction_set").iter_rows()
        if names
    )
    assert ensemble.predict_frame(iter(files[::-1]), quiet=True).equals(frame)


def test_frame_agrees_with_table(
    ensemble: bestiary.Ensemble, trained: bestiary.Run, beasts: Path, tmp_path: Path
) -> None:
    frame = ensemble.predict_frame(beasts, coverage=0.8, risk=0.1, quiet=True)
    options = {"coverage": 0.8, "risk": 0.1, "quiet": True}
    table = bestiary.predict(trained.path, beasts, out=tmp_path / "p.csv", **options).table
    columns = ["label", "accepted", "unknown"]
    assert frame.select(columns).equals(table.select(columns))
    assert frame["prediction_set"].list.join("|").to_list() == table["prediction_set"].to_list()


def test_frame_names_what_it_cannot_read(
    ensemble: bestiary.Ensemble, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no")
    content = files[0].read_bytes()
    frame = ensemble.predict_frame([tmp_path / "bad.jpg", content], quiet=True)
    assert frame["path"].to_list() == [str(tmp_path / "bad.jpg"), None]
    assert frame["label"].is_null().to_list() == [True, False]
    assert frame["error"].is_null().to_list() == [False, True]
    with pytest.raises(ArgumentError, match="coverage"):
        ensemble.predict_frame(files[:1], coverage=0.5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        ensemble.predict_frame(tmp_path / "empty")


def test_pickle_keeps_the_class(ensemble: bestiary.Ensemble, files: list[Path]) -> None:
    for other in (pickle.loads(pickle.dumps(ensemble)), copy.deepcopy(ensemble)):
        assert type(other) is bestiary.Ensemble
        np.testing.assert_array_equal(other.predict(files), ensemble.predict(files))


def test_card_of_ensemble(ensemble: bestiary.Ensemble, trained: bestiary.Run) -> None:
    html = ensemble._repr_html_()
    assert f"{count(3, 'member')}, {count(3, 'class', 'classes')}, computed by" in html
    assert ensemble.engine in html
    assert "out-of-fold accuracy, 95" in html
    assert "predict_frame(images)" in html


def test_card_without_run(ensemble: bestiary.Ensemble) -> None:
    names = ["<b>a", "b", "c"]
    alone = bestiary.Ensemble(ensemble.members, names, ensemble.view, engine="torch")
    html = alone._repr_html_()
    assert count(3, "member") in html
    assert "<b>a" not in html
    assert isinstance(alone, Predictor)
