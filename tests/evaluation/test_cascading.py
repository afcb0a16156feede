"""Cascades of a run: what stops, what is said of it, and when it is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.ensemble.answers import PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.evaluation import cascading, deciding
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.run.run import Run
from bestiary.stats.calibration import NEVER, Calibration
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
    monkeypatch.setattr(cascading, "read_out_of_fold", lambda *_, **__: chose)
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
    assert ((used == 1) == result.table["stopped_early"]).all()
    assert 0 < n_stopped < len(used)
    assert set(used) == {1, len(Ensemble.load(trained).folds)}

    # Where all members were asked, the rows are those without a cascade.
    goes_on = used > 1
    both = [
        table.filter(goes_on).drop("members_used", "stopped_early", strict=False)
        for table in (usual, result.table)
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
    assert f"{n_stopped} of them stopped early" in str(result)


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
    assert cascading.score_cascade(cascade, ensemble, table, logits[0], logits) == {
        "risk": 0.05,
        "threshold": 0.9,
        "first_view": False,
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


@pytest.fixture(scope="module")
def five_views(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A probe of three folds and five views."""
    options = ["predict.tta=5", "view.size=32", "train.precision=float32"]
    folder = tmp_path_factory.mktemp("views") / "run"
    return bestiary.probe(beasts, folder, overrides=options, folds=3, quiet=True)


def loose_cascade(run: Run, threshold: float, temperature: float) -> Cascade:
    """A cascade over the first view that stops from a confidence on."""
    calibration = Ensemble.load(run).calibration
    assert calibration
    accepted = {**calibration.accepted, 0.05: threshold}
    loose = replace(calibration, accepted=accepted, temperature=temperature)
    return Cascade(0.05, loose, n_images=200, n_stopped=100, n_wrong=2, sees_first_view=True)


def logits_of(ensemble: Ensemble, files: list[Path]) -> np.ndarray:
    return np.concatenate([batch.logits for batch in ensemble.iter_logits(files)], axis=1)


@pytest.mark.slow
def test_the_first_view_is_kept_out_of_fold(five_views: Run, beasts: Path) -> None:
    out_of_fold = cascading.read_out_of_fold(five_views.load(), with_first_view=True)
    assert out_of_fold.first_view is not None
    assert cascading.read_out_of_fold(five_views.load()).first_view is None
    ensemble = Ensemble.load(five_views)
    is_first = out_of_fold.folds == 0
    files = [beasts / path for path in out_of_fold.table["path"].to_numpy()[is_first]]
    cascade = loose_cascade(five_views, 0.0, 1.0)
    first = cascading.first_logits(five_views, ensemble, cascade, files, logits_of(ensemble, files))
    kept = out_of_fold.first_view[is_first]
    np.testing.assert_allclose(first, kept, atol=1e-3)
    assert np.abs(kept - out_of_fold.logits[is_first]).max() > 0.01


@pytest.mark.slow
def test_images_stop_after_one_view(five_views: Run, beasts: Path) -> None:
    files = sorted(beasts.rglob("*.jpg"))
    usual = logits_of(Ensemble.load(five_views), files)
    ensemble = Ensemble.load(five_views)
    assert ensemble.calibration
    ensemble.ood = None
    temperature = 2 * ensemble.calibration.temperature
    every = loose_cascade(five_views, 0.0, temperature)
    first = cascading.first_logits(five_views, ensemble, every, files, usual)
    confidence = every.calibration.probabilities(first[None], "logits").max(axis=1)
    cascade = loose_cascade(five_views, float(np.median(confidence)), temperature)
    cascading.apply_cascade(five_views, ensemble, cascade, "auto")
    (batch,) = ensemble.iter_logits(files)
    assert batch.stopped is not None
    assert 10 < batch.stopped.sum() < 17
    np.testing.assert_allclose(batch.logits[:, ~batch.stopped], usual[:, ~batch.stopped], atol=1e-3)

    # The confidence of an image that stops is that of the cascade's own temperature.
    probabilities = ensemble.probabilities(batch.logits).max(axis=1)
    np.testing.assert_allclose(probabilities[batch.stopped], confidence[batch.stopped], atol=1e-3)


@pytest.mark.slow
def test_a_single_member_stops_after_one_view(
    five_views: Run, beasts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(beasts.rglob("*.jpg"))
    ensemble = Ensemble.load(five_views)
    every = loose_cascade(five_views, 0.0, 1.0)
    of_all_views = replace(every, sees_first_view=False)
    single = cascading._first_member(five_views, ensemble, of_all_views, "auto")
    usual = logits_of(single, files)
    first = cascading.first_logits(five_views, single, every, files, usual)
    confidence = every.calibration.probabilities(first[None], "logits").max(axis=1)
    half = loose_cascade(five_views, float(np.median(confidence)), 1.0)
    monkeypatch.setattr(cascading.Cascade, "fit", lambda *_: replace(half, sees_first_view=False))

    cascade = cascading.learn_cascade(five_views, single, 0.05)
    assert cascade.sees_first_view
    cascading.apply_cascade(five_views, single, cascade, "auto")
    (batch,) = single.iter_logits(files)
    assert batch.stopped is not None
    assert 10 < batch.stopped.sum() < 17
    np.testing.assert_allclose(batch.logits[:, ~batch.stopped], usual[:, ~batch.stopped], atol=1e-3)
    calibration = Ensemble.load(five_views).calibration
    assert calibration, "whose temperature the first view's logits are given"
    kept = calibration.temperature * first[batch.stopped]
    np.testing.assert_allclose(batch.logits[0, batch.stopped], kept, atol=1e-3)
    answers = answer_batch(single, batch, "logits", PredictionOptions())
    assert [answer.stopped_early for answer in answers] == batch.stopped.tolist()
    assert {answer.members_used for answer in answers} == {1}


def test_a_single_member_needs_views(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(views: int) -> str:
        single: Any = SimpleNamespace(folds=[0], tta=views, blended=[])
        with pytest.raises(ArgumentError) as error:
            cascading.learn_cascade(trained, single, 0.05)
        return str(error.value)

    assert "one member and one view" in refused(1)
    five: Any = SimpleNamespace(tta=5)
    monkeypatch.setattr(cascading, "read_card", lambda _: five)
    assert "no out-of-fold logits of one view" in refused(5)


def test_a_run_without_first_views_asks_members(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_fold = cascading.read_out_of_fold(trained.load(), with_first_view=True)
    fitted = Cascade.fit
    seen: list[np.ndarray] = []
    refused = np.zeros_like(out_of_fold.logits)

    def fit(logits: np.ndarray, *rest: object) -> Cascade:
        seen.append(logits)
        cascade = fitted(logits, *rest)  # type: ignore[arg-type]
        accepted = {0.05: NEVER if (logits == refused).all() else 0.5}
        return replace(cascade, calibration=replace(cascade.calibration, accepted=accepted))

    monkeypatch.setattr(cascading.Cascade, "fit", fit)
    by_members = cascading._learn(out_of_fold, 0.05, 5)
    assert seen[0] is out_of_fold.logits
    assert "a member sees all 5; a run that is trained again has them" in str(by_members)
    assert "after one member whose" in str(by_members)
    assert "views" not in str(cascading._learn(out_of_fold, 0.05, 1))
    table = out_of_fold.table.with_columns(first_view=pl.col("logits").reverse())
    by_view = cascading._learn(replace(out_of_fold, table=table), 0.05, 5)
    assert "after one view of one member" in str(by_view)

    # One view does not keep the risk: all views of a member may.
    refused = by_view_logits = table["first_view"].to_numpy()
    by_member = cascading._learn(replace(out_of_fold, table=table), 0.05, 5)
    assert (seen[-2] == by_view_logits).all() and not by_member.sees_first_view
    assert "One view alone does not keep that risk, so a member sees all 5" in str(by_member)

    # A single member has no cheaper answer than its first view.
    alone = cascading._learn(replace(out_of_fold, table=table), 0.05, 5, is_single=True)
    assert alone.never_stops and alone.sees_first_view


@pytest.mark.slow
def test_what_is_promised_is_learnt_from_such_answers(
    five_views: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_fold = cascading.read_out_of_fold(five_views.load(), with_first_view=True).scorable()
    assert out_of_fold.first_view is not None
    ensemble = Ensemble.load(five_views)
    assert ensemble.calibration
    temperature = ensemble.calibration.temperature
    stopped = out_of_fold.folds == 1
    cascade = replace(loose_cascade(five_views, 0.5, 2 * temperature), stopped=stopped)

    answered = cascading.read_answered(five_views, cascade)
    half = 0.5 * out_of_fold.first_view[stopped]
    np.testing.assert_allclose(answered.logits[stopped], half, rtol=1e-6)
    assert (answered.logits[~stopped] == out_of_fold.logits[~stopped]).all()

    cascading.apply_cascade(five_views, ensemble, cascade, "auto")
    parts = (answered.logits, answered.labels, answered.leak_groups)
    assert ensemble.calibration == Calibration.fit(*parts)
    assert ensemble.calibration != Calibration.fit(out_of_fold.logits, *parts[1:])

    seen: list[np.ndarray] = []

    def learn(_: Ensemble, of: OutOfFold, precision: float) -> None:
        seen.append(of.logits)
        raise ArgumentError("enough")

    monkeypatch.setattr(deciding, "_learn_promises", learn)
    with pytest.raises(ArgumentError, match="enough"):
        deciding.apply_decisions(five_views, ensemble, 0.9, None, cascade)
    np.testing.assert_array_equal(seen[0], answered.logits)
