"""Cascades of a run: what stops, what is said of it, and when it is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.evaluation import cascading
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration
from bestiary.stats.cascade import Cascade


@pytest.fixture
def half_stops(trained: Run, beasts: Path, monkeypatch: pytest.MonkeyPatch) -> Cascade:
    """A cascade that stops about half of the images, in place of the one that would be learnt."""
    ensemble = Ensemble.load(trained)
    files = sorted(beasts.rglob("*.jpg"))
    logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(files)], axis=1)
    assert ensemble.calibration
    confidence = ensemble.calibration.probabilities(logits[:1], "logits").max(axis=1)
    accepted = {**ensemble.calibration.accepted, 0.05: float(np.median(confidence))}
    calibration: Calibration = replace(ensemble.calibration, accepted=accepted)
    cascade = Cascade(0.05, calibration, n_images=200, n_stopped=100, n_wrong=2)
    monkeypatch.setattr(cascading.Cascade, "fit", lambda *_: cascade)
    return cascade


def test_images_that_chose_the_recipe_teach_nothing(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = cascading.read_out_of_fold(trained.load())
    chose = OutOfFold(every.table.with_columns(chose=pl.col("fold") == 0), every.classes)
    monkeypatch.setattr(cascading, "read_out_of_fold", lambda _: chose)
    seen: list[set[int]] = []

    def fit(_logits: object, _labels: object, folds: np.ndarray, *_: object) -> Cascade:
        seen.append(set(folds.tolist()))
        raise ArgumentError("enough")

    monkeypatch.setattr(cascading.Cascade, "fit", fit)
    with pytest.raises(ArgumentError, match="enough"):
        cascading.learn_cascade(trained, Ensemble.load(trained), 0.05)
    assert seen == [{1, 2}]


@pytest.mark.slow
def test_stopped_images_have_the_first_members_answer(
    trained: Run,
    beasts: Path,
    tmp_path: Path,
    half_stops: Cascade,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = bestiary.predict(trained.path, beasts, out=tmp_path / "all.csv", quiet=True).table
    result = bestiary.predict(trained.path, beasts, out=tmp_path / "some.csv", cascade=0.05)
    used = result.table["members_used"]
    n_stopped = int((used == 1).sum())
    assert 0 < n_stopped < len(used)
    assert set(used) == {1, len(Ensemble.load(trained).folds)}

    # Where all members were asked, the rows are those without a cascade.
    goes_on = used > 1
    both = [
        table.filter(goes_on).drop("members_used", strict=False) for table in (usual, result.table)
    ]
    columns = [name for name in both[0].columns if both[0][name].dtype != pl.Float64]
    assert both[0].select(columns).equals(both[1].select(columns))

    # Elsewhere, they are those of the first member.
    files = [beasts / path for path in result.table.filter(used == 1)["path"]]
    ensemble = Ensemble.load(trained)
    (batch,) = ensemble.iter_logits(files)
    first = ensemble.classes_[batch.logits[0].argmax(axis=1)]
    assert result.table.filter(used == 1)["label"].to_list() == first.tolist()
    assert not result.table.filter(used == 1)["unknown"].any()

    said = capsys.readouterr()
    assert "50.0 % stop, of which 2.0 % are wrong" in said.err.replace("\N{NO-BREAK SPACE}", " ")
    assert f"{n_stopped} of them stopped after one member" in str(result)


@pytest.mark.slow
def test_a_cascade_is_scored(trained: Run) -> None:
    ensemble = Ensemble.load(trained)
    ensemble.ood = None
    assert ensemble.calibration
    accepted = {**ensemble.calibration.accepted, 0.05: 0.9}
    ensemble.calibration = replace(ensemble.calibration, accepted=accepted, temperature=1.0)
    cascade = Cascade(0.05, ensemble.calibration, n_images=200, n_stopped=100, n_wrong=2)
    logits = np.zeros((3, 4, 3), np.float32)
    logits[1:, :, 0] = 100  # the other members are right
    logits[0, :2, 1] = 10  # the first is sure of another class, twice
    logits[0, 2:, 0] = 1  # and right, but not sure
    table = pl.DataFrame({"label": [str(ensemble.classes_[0])] * 4})
    assert cascading.score_cascade(cascade, ensemble, table, logits) == {
        "risk": 0.05,
        "threshold": 0.9,
        "stopped": 0.5,
        "wrong": 2,
        "accuracy": 0.5,
        "all_members": 1.0,
    }


def test_a_risk_that_cannot_be_promised_is_refused(
    trained: Run, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    command = ["predict", trained.path, beasts, "--out", tmp_path / "p.csv", "--cascade"]
    assert "27 out-of-fold predictions do not show" in fails(*command, "0.01")
    assert "choose 0.01, 0.02, 0.05, 0.1" in fails(*command, "0.3")
    assert "leave --tta out" in fails(*command, "0.05", "--tta", "2")
