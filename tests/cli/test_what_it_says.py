"""What verbs say: the runs below, the cache, plans, what is shared and what is pooled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bestiary
from bestiary import caches
from bestiary.cli import main
from bestiary.evaluation import run_list
from bestiary.evaluation.results import read_results
from bestiary.reporting.last_words import last_words
from bestiary.run.run import Run
from bestiary.run.training_now import training


@pytest.fixture
def folder(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a finished run, a begun one and a damaged one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "done").symlink_to(trained.path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "recipe.toml").write_text("not TOML")
    return tmp_path


def test_show_lists_runs_below(
    folder: Path, trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.path, folder / "done")
    assert main(["show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["damaged", "done"]
    assert "cannot be read" in lines[0]
    assert "27 images" in lines[1].replace("\xa0", " ")


def test_show_without_runs_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 0
    assert "bestiary probe IMAGES RUN" in capsys.readouterr().out


def test_search_for_runs_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "MAX_FOLDERS", 1)
    assert "There may be more" in str(run_list.list_runs(folder.parent.parent)) or not (
        run_list.list_runs(folder).complete
    )


def test_cache_is_measured_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "images").write_bytes(bytes(2_000_000))
    (tmp_path / "image-info-v5").mkdir()
    (tmp_path / "runs" / "0123").mkdir(parents=True)
    (tmp_path / "mine.txt").write_text("not ours")
    (tmp_path / "graphs").symlink_to(tmp_path / "runs")
    assert main(["cache"]) == 0
    text = capsys.readouterr().out.replace("\xa0", " ")
    assert "2.0 MB  decoded images" in text
    assert "1 working copy of runs in object stores" in text
    assert main(["cache", "--clear"]) == 0
    assert "Removed: 2.0" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "runs"]
    assert (tmp_path / "runs" / "0123").is_dir()
    assert caches.measure_cache().entries == []


@pytest.mark.slow
def test_dry_run_writes_nothing(
    beasts: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--recipe", str(tiny), "--folds", "3", "--epochs", "7", "--dry-run"]
    assert main(["train", str(beasts), str(tmp_path / "run"), *options]) == 0
    said = capsys.readouterr().out.replace("\xa0", " ")
    assert "27 images of 3 classes, 3 folds, each 7 epochs, batches of 8" in said
    assert said.splitlines()[-1].startswith("Nothing was written"), "and no more"
    assert list(tmp_path.iterdir()) == []


def test_dry_run_of_a_budget_is_refused(beasts: Path, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    arguments = ["train", beasts, tmp_path / "run", "--dry-run", "--budget", "10min"]
    assert "cannot say how long --budget takes" in fails(*arguments)


def test_last_words_fit_a_terminal(small: Run) -> None:
    text = last_words(read_results(small)).replace("\xa0", " ")
    heads = [line[:14].strip() for line in text.splitlines()]
    assert {"Single folds", "All 3 members", "Time"} <= set(heads)
    assert max(map(len, text.splitlines())) <= 80


def test_runs_on_one_machine_are_told_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_STATE", str(tmp_path))
    code = (
        "import sys; from bestiary.run.training_now import training\n"
        "with training('first') as others:\n"
        "    print(others, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "[]\n"
        with training("second") as others:
            assert others == ["first"]
        first.kill()
        first.wait()
    with training("third") as others:
        assert others == [], "a run that was killed trains no more"
    assert list((tmp_path / "training").iterdir()) == []


def test_students_that_save_nothing_are_refused(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails
) -> None:  # type: ignore[no-untyped-def]
    heads = trained.read_recipe().with_values({"train.epochs": 0, "model.head": "lda"})
    monkeypatch.setattr(Run, "read_recipe", lambda _: heads)
    line = fails("distill", trained.path, tmp_path / "student")
    assert "heads of one frozen network" in line
    assert not (tmp_path / "student").exists()


def test_chosen_device_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from bestiary.model.device import DEVICE_VARIABLE, best_device, chosen_device

    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda **_: None)
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    with chosen_device("cpu"):
        assert best_device().type == "cpu"
        with chosen_device(None):
            assert best_device().type == "cpu"
    monkeypatch.setenv(DEVICE_VARIABLE, "tpu")
    with pytest.raises(bestiary.BestiaryError, match="--device tpu: is unknown"):
        best_device()
