"""Joined runs: runs like any other, honest by fold, refused where folds or images differ."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import RunError
from bestiary.evaluation.finish import finish_run
from bestiary.evaluation.joining import Joined, _aligned, _shares
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.evaluation.results import read_results
from bestiary.exporting.graph import build_graph, input_view, run_graph
from bestiary.reporting.model_card import model_card
from bestiary.reporting.sections import reproduce_command
from bestiary.run.budget_file import BudgetRecord, read_budget
from bestiary.run.layout import BUDGET, ENSEMBLE, blend_folder
from bestiary.run.run import Run
from bestiary.stats.blending import Blend


@pytest.fixture(scope="module")
def joined(
    trained: Run, beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Joined:
    """The session's run and one of another network at another size, on the same folds."""
    folder = tmp_path_factory.mktemp("joining")
    bestiary.train(
        beasts,
        folder / "other",
        recipe=tiny,
        folds=3,
        quiet=True,
        overrides=["model.backbone=torchvision/mobilenet_v3_small", "view.size=48"],
    )
    return bestiary.join(trained.path, folder / "other", folder / "joined")


@pytest.mark.slow
def test_logits_are_weighted_sums(joined: Joined, trained: Run, beasts: Path) -> None:
    ensemble = Ensemble.load(joined.run, engine="torch")
    other = Ensemble.load(joined.run.path.with_name("other"), engine="torch")
    files = sorted(beasts.rglob("*.jpg"))[:5]
    (found,) = ensemble.iter_logits(files)
    (first,) = Ensemble.load(trained, engine="torch").iter_logits(files)
    (second,) = other.iter_logits(files)
    weights = np.array(ensemble.blend_weights)[:, :, None, None]
    expected = weights[:, 0] * first.logits + weights[:, 1] * second.logits
    np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_out_of_fold_logits_are_those_of_the_member(joined: Joined, beasts: Path) -> None:
    """Each fold's member, on its held-out images, gives what oof.parquet says."""
    ensemble = Ensemble.load(joined.run, engine="torch")
    table = read_out_of_fold(joined.run.load()).table
    for row in table.sample(4, seed=0).iter_rows(named=True):
        (batch,) = ensemble.iter_logits([beasts / row["path"]])
        member = ensemble.folds.index(row["fold"])
        np.testing.assert_allclose(batch.logits[member, 0], row["logits"], rtol=0.1, atol=0.05)


@pytest.mark.slow
def test_a_run_like_any_other(joined: Joined, beasts: Path, tmp_path: Path) -> None:
    place = joined.run.path
    assert isinstance(joined.run, bestiary.Run), "with frames, charts and a card"
    assert joined.run.oof.height == 27
    table = bestiary.predict(place, beasts, out=tmp_path / "p.csv", quiet=True).table
    assert table["label"].null_count() == 0
    assert "mobilenet_v3_small" in str(bestiary.show(place))
    assert bestiary.report(place, out=tmp_path / "report.html", quiet=True)
    assert "blend" in str(joined)
    assert joined.run.read_scores()["accuracy"]["value"] == joined.gain.blend.value
    digest = Ensemble.load(place).digest
    assert digest != Ensemble.load(place.with_name("other")).digest
    before = joined.run.file(ENSEMBLE).read_bytes()
    finish_run(joined.run)  # as --resume does
    assert joined.run.file(ENSEMBLE).read_bytes() == before


@pytest.mark.slow
def test_one_file_has_members_of_both_sizes(joined: Joined, beasts: Path, tmp_path: Path) -> None:
    ensemble = Ensemble.load(joined.run, device="cpu", engine="torch")
    view = input_view(ensemble)
    assert view.size == 48
    files = sorted(beasts.rglob("*.jpg"))[:6]
    from bestiary.data.decode import read_image

    views = np.stack([view(view.decode(read_image(file))) for file in files])
    found = run_graph(build_graph(ensemble, [0, 1, 2]), views)
    (batch,) = ensemble.iter_logits(files)
    np.testing.assert_allclose(found.logits.swapaxes(0, 1), batch.logits, rtol=0.1, atol=0.1)
    exported = bestiary.export(joined.run.path, tmp_path / "m.pt2", format="torch", quiet=True)
    assert exported.card["input"]["size"] == 48
    assert " + " in exported.card["backbone"]


@pytest.mark.slow
def test_how_to_repeat_it(joined: Joined, trained: Run) -> None:
    """Its recipe names two networks, so it cannot be trained; the same runs can be joined."""
    results = read_results(joined.run)
    command = f"bestiary join {trained.name} other NEW_RUN"
    assert reproduce_command(results) == command
    assert command in model_card(results) and "bestiary train" not in model_card(results)


@pytest.mark.slow
def test_what_it_refuses(
    joined: Joined, trained: Run, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    other = joined.run.path.with_name("other")
    new = tmp_path / "new"
    assert "exists already" in fails("join", trained.path, other, joined.run.path)
    assert "is joined itself" in fails("join", joined.run.path, other, new)
    assert "name two or more" in fails("join", trained.path, other)
    command = ["predict", joined.run.path, beasts, "--out", tmp_path / "p.csv"]
    assert "no first member" in fails(*command, "--cascade", "0.05")
    assert not new.exists()


@pytest.mark.slow
def test_a_strangers_blend_is_checked(joined: Joined, tmp_path: Path) -> None:
    import json

    copy = tmp_path / "copy"
    shutil.copytree(joined.run.path, copy)
    card = json.loads((copy / ENSEMBLE).read_text())
    for change in (
        {"blend": None},
        {"blend": {"weights": [[1.0, 1.0]]}},
        {"blend": {"weights": [[1.0, -1.0]] * 3}},
        {"blend": {"weights": [[1.0] * 9] * 3}},
        {"format": 2},
    ):
        (copy / ENSEMBLE).write_text(json.dumps(card | change))
        with pytest.raises(RunError):
            Ensemble.load(copy)
    (copy / ENSEMBLE).write_text(json.dumps(card))
    shutil.rmtree(copy / blend_folder(1))
    with pytest.raises(RunError):
        Ensemble.load(copy)


def changed(original: OutOfFold, **columns: object) -> OutOfFold:
    return OutOfFold(original.table.with_columns(**columns), original.classes)


def test_other_folds_labels_and_images_are_refused(trained: Run) -> None:
    first = read_out_of_fold(trained.load())
    assert _aligned(trained, first, trained, first)["path"].equals(first.table["path"])
    fold = pl.col("fold")
    cases = {
        "has fold": changed(first, fold=(fold + 1) % 3),
        "has label": changed(first, label=pl.col("label").reverse()),
        "not in both": OutOfFold(first.table.head(20), first.classes),
        "same bytes": changed(first, sha256=pl.lit("0" * 64)),
        "other classes": OutOfFold(first.table, first.classes[::-1]),
    }
    for message, other in cases.items():
        with pytest.raises(RunError, match=message):
            _aligned(trained, first, trained, other)


def test_order_of_images_does_not_matter(trained: Run) -> None:
    first = read_out_of_fold(trained.load())
    shuffled = OutOfFold(first.table.sample(fraction=1, shuffle=True, seed=0), first.classes)
    aligned = _aligned(trained, first, trained, shuffled)
    assert aligned["logits"].to_list() == first.table["logits"].to_list()


def with_budget(run: Run, folder: Path) -> Run:
    """Copy a run as if its recipe had been chosen on the last fold, within a budget."""
    copy = Run(Path(shutil.copytree(run.path, folder)))
    record = BudgetRecord(seconds=60, spent=50, folds=[2], trials=[], chosen="heads", notes=[])
    copy.write_json(BUDGET, record.model_dump())
    copy.write_recipe(copy.read_recipe())
    finish_run(copy)
    return copy


@pytest.mark.slow
def test_images_that_chose_a_recipe_are_not_scored(
    joined: Joined, trained: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    """Whichever of the runs it was, and in the joined run too."""
    other = Run(joined.run.path.with_name("other"))
    every = read_out_of_fold(trained.load())
    n_scored = int((every.without_conflicts().folds != 2).sum())
    chosen = with_budget(other, tmp_path / "chosen")
    pairs = [(trained, chosen), (chosen, trained)]
    for number, (first, second) in enumerate(pairs):
        found = bestiary.join(first.path, second.path, tmp_path / f"joined-{number}")
        scores = found.run.read_scores()
        assert scores is not None
        assert scores["accuracy"]["n"] == found.gain.blend.n == n_scored
        assert scores["accuracy"]["value"] == found.gain.blend.value
        assert "ensembles of 3 folds" in scores["ensemble"]["method"]
        assert np.array(Ensemble.load(found.run).blend_weights).shape == (3, 2)
    record = read_budget(chosen)
    assert record is not None
    chosen.write_json(BUDGET, record.model_copy(update={"folds": [1, 2]}).model_dump())
    chosen.write_recipe(chosen.read_recipe())
    line = fails("join", trained.path, chosen.path, tmp_path / "none")
    assert "fewer than two folds are left" in line


def test_runs_without_weight_have_no_share() -> None:
    """Networks that tell no class apart get no weight in a fold; that is 0, not "nan"."""
    logits = np.random.default_rng(0).normal(size=(2, 6, 3))
    blend = Blend(np.array([0, 1]), np.array([[0.0, 0.0], [1.0, 0.0]]), logits[0])
    np.testing.assert_array_equal(_shares(logits, blend), [0.5, 0])
