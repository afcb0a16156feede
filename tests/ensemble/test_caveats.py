"""What a reader of predictions is told: images that were trained on, members that are missing."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import bestiary
from bestiary.ensemble.caveats import TrainedFiles, missing_members, nothing_sure
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run


def test_trained_files_are_known_by_their_bytes(trained: Run, beasts: Path, tmp_path: Path) -> None:
    trained_on, other = sorted(beasts.rglob("*.jpg"))[:2]
    shutil.copy(trained_on, tmp_path / "renamed.jpg")
    changed = bytearray(other.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "same size.jpg").write_bytes(changed)
    (tmp_path / "folder.jpg").mkdir()
    files = TrainedFiles.of(trained)
    names = ["renamed.jpg", "same size.jpg", "folder.jpg", "absent.jpg"]
    assert [tmp_path / name in files for name in names] == [True, False, False, False]
    line = files.describe(tmp_path, names)
    assert line.startswith(
        "1\N{NO-BREAK SPACE}image was used to train this run (first renamed.jpg)"
    )
    assert files.describe(tmp_path, names[1:]) == ""


def test_predict_says_so(
    trained: Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bestiary.predict(trained.path, beasts, out=tmp_path / "p.csv", quiet=True)
    assert "27\N{NO-BREAK SPACE}images were used to train this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("risk", "said"),
    [
        (0.01, "at most 1 % are wrong; --risk 0.05 can be promised"),
        (0.05, ""),
        (0.1, "at most 10 % are wrong; label more images"),
    ],
)
def test_answers_that_cannot_be_sure_are_told(risk: float, said: str) -> None:
    accepted = {0.01: 2.0, 0.02: 2.0, 0.05: 0.9, 0.1: 2.0}
    ensemble = SimpleNamespace(calibration=SimpleNamespace(accepted=accepted))
    line = nothing_sure(ensemble, risk)  # type: ignore[arg-type]
    assert line.endswith(said) and bool(line) == bool(said)
    assert not nothing_sure(SimpleNamespace(calibration=None), risk)  # type: ignore[arg-type]


def test_predict_says_that_nothing_is_sure(
    trained: Run, beasts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bestiary.predict(trained.path, beasts, quiet=True)
    assert not result.table["accepted"].any()
    assert "No answer counts as sure" in capsys.readouterr().err


@pytest.mark.slow
def test_missing_folds_are_named(
    beasts: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[1], quiet=True)
    line = missing_members(run, Ensemble.load(run))
    assert line.startswith("1 of 3 members: folds 0, 2 not trained yet, confidence is not calib")
    bestiary.predict(run.path, beasts, out=tmp_path / "p.csv", quiet=True)
    assert line in capsys.readouterr().err


def test_nothing_is_missing_of_a_whole_run(trained: Run) -> None:
    assert missing_members(trained, Ensemble.load(trained)) == ""
