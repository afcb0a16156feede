"""Ablations: variants of a recipe on the same folds and seeds; what is refused at once, what is
not repeated.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel

import bestiary
from bestiary.beasts.holdout import hold_out
from bestiary.errors import ArgumentError
from bestiary.run.run import Run
from bestiary.stats.averaging import average
from bestiary.stats.paired import paired_difference, paired_over_seeds
from bestiary.training import crossval
from bestiary.training.variants import parse_seeds, plan_variants, split_values

BASE = ["folds.n=3", "train.epochs=1"]


@pytest.fixture
def trained_folds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the folds that were trained, in order."""
    trained: list[Path] = []
    train = crossval.train_fold_safely
    monkeypatch.setattr(
        crossval, "train_fold_safely", lambda *a, **k: trained.append(a[2].folder) or train(*a, **k)
    )
    return trained


def test_variants_share_folds_and_differ_in_one_value(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    trained_folds: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "ablation"
    options = {"recipe": tiny, "overrides": BASE, "quiet": True}
    over = ["view.scale=[0.2,1.0],[0.35,1.0]", "mix.probability=0"]
    found = bestiary.ablate(beasts, folder, vary=over, **options)
    names = ["base", "view.scale=[0.2,1.0]", "mix.probability=0"]
    assert [row.variant for row in found.rows] == names  # the second scale is the base's own
    runs = [Run.open(path.parent) for path in sorted(folder.glob("*/seed-0/recipe.toml"))]
    assert len(runs) == 3 and len(trained_folds) == 9
    tables = [run.read_table("folds.parquet") for run in runs]
    assert tables[0].equals(tables[1]) and tables[0].equals(tables[2])
    base = Run.open(folder / "base" / "seed-0")
    assert sorted(key for run in runs for key in base.recipe.differences(run.read_recipe())) == [
        "mix.probability",
        "view.scale",
    ]
    table = pl.read_csv(folder / "ablation.csv")
    compared = bestiary.compare(
        base.path, *(run.path for run in runs if run.path != base.path)
    ).comparison
    expected = sorted(change.value for change in compared.differences)
    assert sorted(table["difference"].drop_nulls()) == pytest.approx(expected)
    assert (folder / "compare.html").exists() and "| mix.probability=0 |" in (
        folder / "ablation.md"
    ).read_text()
    assert max(len(line) for line in str(found).splitlines() if str(tmp_path) not in line) <= 80

    again = bestiary.ablate(beasts, folder, vary=[*over, "loss.kind=focal"], resume=True, **options)
    assert len(trained_folds) == 12  # what was added, and nothing else
    assert [row.accuracy for row in again.rows[:3]] == [row.accuracy for row in found.rows]


def test_averaging_rules_are_judged_on_new_images_without_training_again(
    beasts: Path, tiny: Path, tmp_path: Path, trained_folds: list[Path]
) -> None:
    data, new, folder = tmp_path / "data", tmp_path / "new", tmp_path / "ablation"
    shutil.copytree(beasts, data, ignore=shutil.ignore_patterns("truth.csv"))
    hold_out(data, new, 0.3)
    over = ["predict.average=probabilities,vote"]
    found = bestiary.ablate(
        data, folder, vary=over, recipe=tiny, overrides=BASE, test_data=new, seeds="0,1", quiet=True
    )
    assert len(trained_folds) == 6
    assert [(row.variant, row.judged, row.seeds) for row in found.rows] == [
        ("base", "held out", 2),
        ("predict.average=probabilities", "held out", 2),
        ("predict.average=vote", "held out", 2),
    ]
    images = sorted(new.rglob("*.jpg"))
    labels = [path.parent.name for path in images]
    hits = []
    for seed in (0, 1):
        ensemble = bestiary.load(folder / "base" / f"seed-{seed}")
        logits = np.concatenate([scored.logits for scored in ensemble.score(images)], axis=1)
        hits += [ensemble.classes_[average(logits, "vote").argmax(axis=1)] == labels]
    assert found.rows[2].accuracy == pytest.approx(np.mean(hits), abs=1e-9)
    assert found.rows[0].images == len(images) >= 6


def test_what_cannot_work_is_refused_before_anything_is_trained(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    folder = tmp_path / "ablation"
    wrong = {
        "train.batch_size=16,0": "train.batch_size = 0",
        "train.epoch=1": "did you mean train.epochs?",
        "model.backbone=torchvision/resnet18,torchvision/resnet999": "resnet999",
        "model.freeze=2,99": "model.freeze=99: model.freeze = 99",
        "folds.n=3,5": "share their images and folds",
        "train.seed=1,2": "--seeds",
        "train.epochs": "section.key=value",
        "view.scale=[0.2,1.0": "not closed",
        "train.epochs=1,,2": "empty value",
        "predict.average=vote": "give new images by --test-data",
        "train.epochs=6": "no value differs",  # the default recipe's own
    }
    for over, words in wrong.items():
        line = fails(
            "ablate",
            beasts,
            folder,
            "--vary",
            over,
            "--set",
            "model.weights=none",
            "model.head=random",
            "model.freeze=0",
        )
        assert words in line, line
        assert not folder.exists()
    assert "different whole numbers" in fails(
        "ablate", beasts, folder, "--vary", "train.epochs=9", "--seeds", "0,0"
    )
    folder.mkdir()
    (folder / "thesis.txt").touch()
    assert "is not empty" in fails("ablate", beasts, folder, "--vary", "train.epochs=9")


def test_values_hold_commas_in_brackets_and_quotes() -> None:
    assert split_values("1,2") == ["1", "2"]
    assert split_values("[0.2, 1.0],[0.6,1.0]") == ["[0.2, 1.0]", "[0.6,1.0]"]
    assert split_values("'a,b',\"c]\",d") == ["'a,b'", '"c]"', "d"]
    for wrong in ("", "1,", "[1", "'a", "1]"):
        with pytest.raises(ArgumentError):
            split_values(wrong)
    assert parse_seeds("0, 12") == [0, 12]


def test_folders_are_named_apart_and_shared_by_averaging_rules(tmp_path: Path) -> None:
    variants = plan_variants(
        "paper", ["model.weights=none"], ["predict.average=vote", "view.ratio=[1,1],[1,1.0]"]
    )
    assert [(v.name, v.folder) for v in variants] == [
        ("base", "base"),
        ("predict.average=vote", "base"),
        ("view.ratio=[1,1]", "view.ratio=_1_1"),
    ]


def test_several_seeds_widen_the_interval_by_their_spread() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    groups = np.arange(400)

    def trained(level: float, seed_spread: float) -> np.ndarray:
        levels = level + seed_spread * rng.normal(size=(4, 1))
        return hard + rng.normal(0, 0.2, (4, 400)) > levels

    calm = paired_over_seeds(trained(0.3, 0.0), trained(0.25, 0.0), groups)
    wild = paired_over_seeds(trained(0.3, 0.08), trained(0.25, 0.08), groups)
    assert wild.high - wild.low > 1.5 * (calm.high - calm.low)
    first, second = trained(0.3, 0.0)[:1], trained(0.2, 0.0)[:1]
    assert paired_over_seeds(first, second, groups) == paired_difference(
        first[0], second[0], groups
    )


def test_where_images_alone_vary_it_is_a_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    first = rng.random((3, 2000)) > 0.3
    second = rng.random((3, 2000)) > 0.28
    found = paired_over_seeds(first, second, np.arange(2000))
    plain = ttest_rel(second.mean(axis=0), first.mean(axis=0))
    low, high = plain.confidence_interval(0.95)
    assert found.low <= low + 1e-3 and found.high >= high - 1e-3  # never narrower
    assert found.value == pytest.approx(second.mean() - first.mean())


def test_intervals_over_seeds_hold_the_true_difference() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(300):
        hard, levels = rng.random(200), rng.normal(0, 0.03, (2, 3, 1))
        first, second = (hard + rng.normal(0, 0.2, (3, 200)) > 0.25 + level for level in levels)
        found = paired_over_seeds(first, second, np.arange(200))
        held += found.low <= 0 <= found.high
    assert held >= 280
