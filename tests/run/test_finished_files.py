"""Scores, limits and logits of another run with the same classes are refused, and written again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DamagedError, RunError
from bestiary.evaluation.finish import finish_run
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.field_card import read_field_card
from bestiary.run.field_scores import read_field_scores
from bestiary.run.finished_files import FILES_KEY, FINISHED
from bestiary.run.layout import ENSEMBLE, FIELD, METRICS, OOD, UNKNOWN
from bestiary.run.run import Run
from bestiary.run.unknown_file import read_unknown

READERS: list[tuple[str, Callable[[Run], object]]] = [
    (METRICS, Run.read_scores),
    (METRICS, read_field_scores),
    (METRICS, lambda run: bestiary.show(run.path)),
    (OOD, lambda run: Ensemble.load(run, device="cpu", engine="torch")),
    (FIELD, lambda run: read_field_card(run, 3)),
    (UNKNOWN, read_unknown),
]


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(trained.path, tmp_path / "run"))


@pytest.mark.parametrize(("name", "read"), READERS)
def test_a_file_of_another_run_is_refused(
    run: Run, small: Run, name: str, read: Callable[[Run], object]
) -> None:
    """Both runs have the same images and classes, so every shape fits."""
    read(run)
    file = run.file(name)
    was_there = file.exists()
    file.unlink(missing_ok=True)
    if small.file(name).exists():
        shutil.copyfile(small.file(name), file)
    else:
        file.write_text("{}")
    remedy = "put it back" if was_there else "remove it"
    message = rf"{name}: is not the one that ensemble\.json was written with; {remedy}, or"
    with pytest.raises(DamagedError, match=message):
        read(run)


@pytest.mark.parametrize(("name", "read"), [pair for pair in READERS if pair[0] != METRICS])
def test_a_file_that_is_gone_is_missed(run: Run, name: str, read: Callable[[Run], object]) -> None:
    """Without its limits, a run would be taken for one that has none."""
    card = run.read_json(ENSEMBLE)
    card[FILES_KEY][name] = "0" * 64
    run.write_json(ENSEMBLE, card)
    run.file(name).unlink(missing_ok=True)
    with pytest.raises(DamagedError, match=f"{name}: is missing; put it back, or write it again"):
        read(run)


def test_scores_that_are_gone_are_no_scores(run: Run) -> None:
    run.file(METRICS).unlink()
    assert run.read_scores() is None
    assert str(bestiary.show(run.path)).endswith("--resume")


def test_resume_writes_them_again(run: Run, trained: Run) -> None:
    before = {name: _content(run, name) for name in (*FINISHED, ENSEMBLE)}
    for name in FINISHED:
        run.file(name).write_text("{}")
    finish_run(run)
    assert {name: _content(run, name) for name in before} == before
    assert trained.read_json(ENSEMBLE)[FILES_KEY] == run.read_json(ENSEMBLE)[FILES_KEY]


def test_an_earlier_version_named_no_files(run: Run, small: Run) -> None:
    card = run.read_json(ENSEMBLE)
    del card[FILES_KEY]
    run.write_json(ENSEMBLE, card)
    shutil.copyfile(small.file(METRICS), run.file(METRICS))
    assert run.read_scores() == small.read_scores()


def test_a_list_of_files_must_be_one(run: Run) -> None:
    run.write_json(ENSEMBLE, run.read_json(ENSEMBLE) | {FILES_KEY: [METRICS]})
    with pytest.raises(DamagedError, match=r"ensemble\.json: is not what bestiary writes \(files"):
        run.read_scores()


@pytest.mark.parametrize("name", ["weights", "oof"])
def test_a_fold_is_of_one_member(run: Run, small: Run, name: str) -> None:
    """Members and logits of another training on the same images would cover the manifest."""
    here, there = (getattr(one.fold(1), name) for one in (run, small))
    shutil.copyfile(there, here)
    with pytest.raises(RunError, match=r"is not of the member in weights\.safetensors beside it"):
        read_out_of_fold(run.load())
    with pytest.raises(RunError, match=r"remove .*fold-1"):
        finish_run(run)


def test_damaged_weights_are_predicted_again(run: Run) -> None:
    """They claim nothing, and their own reader refuses them."""
    run.fold(1).weights.write_bytes(b"cut")
    assert len(read_out_of_fold(run.load()).table) == 27


def _content(run: Run, name: str) -> bytes | None:
    return run.file(name).read_bytes() if run.file(name).exists() else None
