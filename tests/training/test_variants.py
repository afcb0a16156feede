"""Ablation variants: what they share, what is trained, and which options are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.beasts.holdout import hold_out
from bestiary.errors import ArgumentError
from bestiary.run.run import Run
from bestiary.stats.averaging import average
from bestiary.training import crossval
from bestiary.training.variants import parse_seeds, plan_variants, split_values

BASE = [
    "folds.n=3",
    "train.epochs=1",
    "model.backbone=timm/test_resnet",
    "train.precision=float32",
    "train.layout=contiguous",
]


@pytest.fixture
def trained_folds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the folds that were trained, in order."""
    folders: list[Path] = []
    train_fold_safely = crossval.train_fold_safely

    def record_folder(job: Any, *rest: Any) -> None:
        folders.append(job.files.folder)
        train_fold_safely(job, *rest)

    monkeypatch.setattr(crossval, "train_fold_safely", record_folder)
    return folders


@pytest.mark.slow
def test_ablate_shares_folds_and_varies_one_value(
    beasts: Path, tiny: Path, tmp_path: Path, trained_folds: list[Path]
) -> None:
    folder = tmp_path / "ablation"
    options = {"recipe": tiny, "overrides": BASE, "quiet": True}
    vary = ["view.scale=[0.2,1.0],[0.35,1.0]", "mix.probability=0"]
    ablation = bestiary.ablate(beasts, folder, vary=vary, **options)
    names = ["base", "view.scale=[0.2,1.0]", "mix.probability=0"]
    assert [row.variant for row in ablation.rows] == names  # the second scale is the base's own

    # The runs share their folds and differ in one value.
    runs = [Run.open(path.parent) for path in sorted(folder.glob("*/seed-0/recipe.toml"))]
    assert len(runs) == 3
    assert len(trained_folds) == 9
    tables = [run.read_table("folds.parquet") for run in runs]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    base = Run.open(folder / "base" / "seed-0")
    base_recipe = base.read_recipe()
    differences = [key for run in runs for key in base_recipe.differences(run.read_recipe())]
    assert sorted(differences) == ["mix.probability", "view.scale"]
    check_results(folder, base, runs)
    lines = [line for line in str(ablation).splitlines() if str(tmp_path) not in line]
    assert max(len(line) for line in lines) <= 80

    # Resumed with one more option, it trains that variant only.
    vary.append("loss.kind=focal")
    resumed = bestiary.ablate(beasts, folder, vary=vary, resume=True, **options)
    assert len(trained_folds) == 12
    before = [row.accuracy for row in ablation.rows]
    assert [row.accuracy for row in resumed.rows[:3]] == before


def check_results(folder: Path, base: Run, runs: list[Run]) -> None:
    """Compare the files of an ablation with `bestiary.compare`."""
    others = [run.path for run in runs if run.path != base.path]
    comparison = bestiary.compare(base.path, *others).comparison
    expected = sorted(difference.value for difference in comparison.differences)
    table = pl.read_csv(folder / "ablation.csv")
    assert sorted(table["difference"].drop_nulls()) == pytest.approx(expected)
    assert (folder / "compare.html").exists()
    assert "| mix.probability=0 |" in (folder / "ablation.md").read_text()


@pytest.mark.slow
def test_ablate_averaging_rules_without_retraining(
    beasts: Path, tiny: Path, tmp_path: Path, trained_folds: list[Path]
) -> None:
    data = tmp_path / "data"
    new = tmp_path / "new"
    folder = tmp_path / "ablation"
    shutil.copytree(beasts, data, ignore=shutil.ignore_patterns("truth.csv"))
    hold_out(data, new, 0.3)
    ablation = bestiary.ablate(
        data,
        folder,
        vary=["predict.average=probabilities,vote"],
        recipe=tiny,
        overrides=BASE,
        test_data=new,
        seeds="0,1",
        quiet=True,
    )
    assert len(trained_folds) == 6
    assert [(row.variant, row.evaluated_on, row.seeds) for row in ablation.rows] == [
        ("base", "held out", 2),
        ("predict.average=probabilities", "held out", 2),
        ("predict.average=vote", "held out", 2),
    ]
    images = sorted(new.rglob("*.jpg"))
    labels = [path.parent.name for path in images]
    hits = []
    for seed in (0, 1):
        ensemble = bestiary.load(folder / "base" / f"seed-{seed}")
        logits = np.concatenate([scored.logits for scored in ensemble.iter_logits(images)], axis=1)
        predicted = ensemble.classes_[average(logits, "vote").argmax(axis=1)]
        hits.append(predicted == labels)
    assert ablation.rows[2].accuracy == pytest.approx(np.mean(hits), abs=1e-9)
    assert ablation.rows[0].images == len(images)
    assert len(images) >= 6


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("train.batch_size=16,0", "train.batch_size = 0"),
        ("train.epoch=1", "did you mean train.epochs?"),
        ("model.backbone=torchvision/resnet18,torchvision/resnet999", "resnet999"),
        ("model.freeze=2,99", "model.freeze=99: model.freeze = 99"),
        ("folds.n=3,5", "share their images and folds"),
        ("train.seed=1,2", "--seeds"),
        ("train.epochs", "section.key=value"),
        ("view.scale=[0.2,1.0", "not closed"),
        ("train.epochs=1,,2", "empty value"),
        ("predict.average=vote", "give new images by --test-data"),
        ("train.epochs=10", "no value differs"),  # the default recipe's own
    ],
)
def test_ablate_refuses_before_training(
    beasts: Path, tmp_path: Path, fails: Callable[..., str], vary: str, message: str
) -> None:
    folder = tmp_path / "ablation"
    options = ["model.weights=none", "model.head=random", "model.freeze=0"]
    assert message in fails("ablate", beasts, folder, "--vary", vary, "--set", *options)
    assert not folder.exists()


def test_ablate_refuses_equal_seeds(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    folder = tmp_path / "ablation"
    line = fails("ablate", beasts, folder, "--vary", "train.epochs=9", "--seeds", "0,0")
    assert "different whole numbers" in line


def test_ablate_refuses_a_folder_with_files(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    folder = tmp_path / "ablation"
    folder.mkdir()
    (folder / "thesis.txt").touch()
    assert "is not empty" in fails("ablate", beasts, folder, "--vary", "train.epochs=9")


def test_split_values_at_commas() -> None:
    assert split_values("1,2") == ["1", "2"]
    assert split_values("[0.2, 1.0],[0.6,1.0]") == ["[0.2, 1.0]", "[0.6,1.0]"]
    assert split_values("'a,b',\"c]\",d") == ["'a,b'", '"c]"', "d"]


@pytest.mark.parametrize("text", ["", "1,", "[1", "'a", "1]"])
def test_split_values_refuses(text: str) -> None:
    with pytest.raises(ArgumentError):
        split_values(text)


def test_parse_seeds() -> None:
    assert parse_seeds("0, 12") == [0, 12]


def test_variant_folders() -> None:
    options = ["predict.average=vote", "view.ratio=[1,1],[1,1.0]"]
    variants = plan_variants("paper", ["model.weights=none"], options)
    assert [(variant.name, variant.folder) for variant in variants] == [
        ("base", "base"),
        ("predict.average=vote", "base"),  # is trained like the base
        ("view.ratio=[1,1]", "view.ratio=_1_1"),
    ]
