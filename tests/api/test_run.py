"""A run as Python users see it: frames, charts and its card."""

import inspect
import os
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.argument_types import choices
from bestiary.errors import ArgumentError, RunError
from bestiary.numbers import count, percent, percent_range
from bestiary.reporting.figure import PLOTS
from bestiary.run.layout import METRICS
from bestiary.run.run import Run as RunDirectory


@pytest.fixture
def unfinished(trained: bestiary.Run, tmp_path: Path) -> bestiary.Run:
    """A copy of a run whose last fold has not ended."""
    path = shutil.copytree(trained.path, tmp_path / "run")
    (path / METRICS).unlink()
    shutil.rmtree(path / "fold-2")
    return bestiary.Run.open(path)


def test_train_returns_public_run(trained: RunDirectory) -> None:
    assert type(trained) is bestiary.Run
    assert type(bestiary.Run.open(trained.path)) is bestiary.Run
    assert bestiary.Run.of(RunDirectory(trained.path)) == bestiary.Run(trained.path)
    assert bestiary.Run(str(trained.path)) == bestiary.Run(trained.path)


@pytest.mark.parametrize("path", [None, 5, b"run", ["run"], ""])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^Run\.open: path is "):
        bestiary.Run.open(path)
    with pytest.raises(ArgumentError, match=r"^Run: path is "):
        bestiary.Run(path)


def test_history_has_every_epoch(trained: bestiary.Run) -> None:
    history = trained.history
    assert history.select("fold", "epoch").rows() == [(f, e) for f in range(3) for e in (1, 2)]
    assert history["train_loss"].null_count() == 0


def test_oof_agrees_with_the_score(trained: bestiary.Run) -> None:
    oof = trained.oof
    scores = trained.read_scores()
    assert scores is not None
    assert oof.height == scores["accuracy"]["n"] == 27
    assert oof["right"].mean() == pytest.approx(scores["accuracy"]["value"])
    probabilities = oof["probabilities"].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities.max(axis=1), oof["confidence"])
    classes = np.array(trained.read_classes())
    assert oof["answer"].to_list() == classes[probabilities.argmax(axis=1)].tolist()


def test_scores_are_those_of_the_file(trained: bestiary.Run) -> None:
    frame = trained.scores
    accuracy = trained.read_json(METRICS)["oof"]["accuracy"]
    assert frame.row(0, named=True) == {"score": "accuracy", "fold": None, **accuracy}
    assert frame.filter(pl.col("score") == "accuracy")["fold"].to_list() == [None, 0, 1, 2]
    assert (frame["low"] <= frame["high"]).all()
    assert {"ensemble", "balanced_accuracy", "log_loss calibrated"} <= set(frame["score"])


def test_confusion_counts_every_image(trained: bestiary.Run) -> None:
    confusion = trained.confusion
    assert confusion.height == 9
    assert confusion["images"].sum() == 27
    right = confusion.filter(pl.col("label") == pl.col("answer"))["images"].sum()
    assert right == trained.oof["right"].sum()
    square = confusion.pivot("answer", index="label", values="images")
    assert square.columns[1:] == square["label"].to_list() == trained.read_classes()


def test_frames_of_unfinished_run(unfinished: bestiary.Run) -> None:
    assert unfinished.history["fold"].unique().to_list() == [0, 1]
    for name in ("oof", "scores", "confusion"):
        with pytest.raises(RunError, match="fold 2 has not ended"):
            getattr(unfinished, name)


def test_results_are_read_once(trained: bestiary.Run, tmp_path: Path) -> None:
    run = bestiary.Run.open(shutil.copytree(trained.path, tmp_path / "run"))
    first = run.results()
    assert bestiary.Run.open(run.path).results() is first
    os.utime(run.file(METRICS))  # as when it is written again
    assert run.results() is not first


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot(trained: bestiary.Run, name: str, tmp_path: Path) -> None:
    assert name in repr(trained.plot)
    draw = getattr(trained.plot, name)
    if name in ("class_sizes", "held_out_accuracy", "training_loss"):
        with pytest.raises(RunError, match=r"explain nothing|needs 4 epochs .* a fold has [02];"):
            draw()
        return
    figure = draw()
    svg = figure._repr_svg_()
    assert re.match(r'<svg width="\d+" height="\d+" xmlns=', svg)
    assert svg.count("<svg") == 1
    assert figure.rows.height > 0
    assert figure.save(tmp_path / "a.svg").read_text(encoding="utf-8") == svg + "\n"
    assert figure.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert figure.save(str(tmp_path / "a.csv")).read_text().count("\n") == figure.rows.height + 1


def test_figure_says_its_formats(trained: bestiary.Run) -> None:
    figure = trained.plot.accuracy()
    with pytest.raises(ArgumentError, match=r"a\.jpg: a figure is saved as \.svg, \.png, \.csv"):
        figure.save("a.jpg")


def test_figure_shows_title_and_note(trained: bestiary.Run) -> None:
    figure = trained.plot.accuracy()
    shown = " ".join(figure.drawing().texts())
    assert figure.title in shown
    for word in figure.chart.note.split(" "):
        assert word in shown


def test_card_of_run(trained: bestiary.Run) -> None:
    html = trained._repr_html_()
    wrong = (~trained.oof["right"]).sum()
    assert html.count("data:image/jpeg") == min(6, wrong)
    scores = trained.read_scores()
    assert scores is not None
    assert percent_range(scores["accuracy"]["low"], scores["accuracy"]["high"]) in html
    assert percent(scores["accuracy"]["value"]) in html
    assert count(wrong, "mistake") in html
    assert "<script" not in html and "<style" not in html


def test_card_of_unfinished_run(unfinished: bestiary.Run) -> None:
    html = unfinished._repr_html_()
    assert "2 of 3 folds ended; no score yet" in html
    assert "resume=True" in html


def test_card_of_damaged_run(unfinished: bestiary.Run) -> None:
    unfinished.file("manifest.parquet").write_bytes(b"x")
    assert "manifest.parquet" in unfinished._repr_html_()


def test_card_escapes_names(strayed: RunDirectory, tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>"
    strayed.path.rename(hostile)
    html = bestiary.Run(hostile)._repr_html_()
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_card_of_a_strangers_run(
    trained: bestiary.Run, beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the card says to call shows the images; an option of a shell would not, in Python."""
    monkeypatch.setenv("BESTIARY_STATE", str(tmp_path / "state"))
    html = unescape(bestiary.Run.open(trained.path)._repr_html_())
    call = f"bestiary.Run.open({str(trained.path)!r}, data=FOLDER)"
    assert call in html and "--data" not in html and "data:image/jpeg" not in html
    shown = eval(call, {"bestiary": bestiary, "FOLDER": beasts})._repr_html_()
    assert "data:image/jpeg" in shown and "FOLDER" not in shown


def test_verbs_take_a_run(trained: bestiary.Run, beasts: Path, tmp_path: Path) -> None:
    """What the card in a notebook says to call works, and so do other verbs."""
    copy: Any = bestiary.Run.open(shutil.copytree(trained.path, tmp_path / "run"))
    assert str(bestiary.show(copy)) == str(bestiary.show(copy.path))
    report: Any = bestiary.report(copy, data=beasts, no_saliency=True, quiet=True)
    assert report.files == [copy.path / "report.html"]
    assert bestiary.labels(copy, data=beasts).folder.exists()
    answers = tmp_path / "answers.csv"
    bestiary.predict(copy, beasts, out=answers, quiet=True)
    assert pl.read_csv(answers).height == 27
    assert bestiary.Run(copy).path == copy.path


def test_hints_of_verbs_allow_a_run() -> None:
    makes_a_folder_of_runs = {"ablate"}
    taking = []
    for name in set(bestiary.__all__) - makes_a_folder_of_runs:
        verb = getattr(bestiary, name)
        hints = {} if isinstance(verb, type) else inspect.signature(verb).parameters
        if "run" in hints:
            taking.append(name)
            allowed = choices(hints["run"].annotation)
            assert os.PathLike[str] in allowed or RunDirectory in allowed, name
    assert len(taking) > 15


def test_run_in_a_store_is_its_address(tmp_path: Path) -> None:
    assert os.fspath(bestiary.Run(tmp_path, "s3://bucket/run")) == "s3://bucket/run"
