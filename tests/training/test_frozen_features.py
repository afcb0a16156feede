"""Frozen features and probes: computed once for all folds and runs, and cached by image."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.decode import read_image
from bestiary.run.heads import read_head
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.run.unlabeled import read_unlabeled
from bestiary.training import frozen_features

OPTIONS = ["view.size=32"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BESTIARY_CACHE", str(folder))
    return folder


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images that each call computed features of."""
    counts: list[int] = []
    predict_rows = frozen_features.predict_rows

    def record_count(data: Any, classifier: Any, rows: Any, *rest: Any, **options: Any) -> NDArray:
        counts.append(len(rows))
        return predict_rows(data, classifier, rows, *rest, **options)

    monkeypatch.setattr(frozen_features, "predict_rows", record_count)
    return counts


def probe(beasts: Path, run: Path, *overrides: str) -> Run:
    return bestiary.probe(beasts, run, overrides=[*OPTIONS, *overrides], folds=3, quiet=True)


def probe_one_fold(beasts: Path, run: Path, *overrides: str) -> None:
    """Compute the features of all images, and fit the head of one fold only."""
    options = [*OPTIONS, *overrides]
    bestiary.train(
        beasts, run, recipe="probe", overrides=options, folds=3, only_fold=[0], quiet=True
    )


@pytest.mark.slow
def test_probe_is_a_finished_run(beasts: Path, tmp_path: Path) -> None:
    run = probe(beasts, tmp_path / "run")
    assert [run.fold(fold).ended for fold in run.fold_numbers()] == [True] * 3
    assert 0 <= run.read_json("metrics.json")["oof"]["accuracy"]["value"] <= 1
    shown = str(bestiary.show(run.path))
    assert "3 of 3" in shown or run.score_line in shown
    bestiary.predict(run.path, beasts, out=tmp_path / "prediction.csv", quiet=True)
    assert pl.read_csv(tmp_path / "prediction.csv").height == 27


@pytest.mark.slow
def test_probe_oof_logits_are_its_members(beasts: Path, tmp_path: Path) -> None:
    run = probe(beasts, tmp_path / "run", "train.precision=float32")
    ensemble = bestiary.load(run)
    for fold in run.fold_numbers():
        table, _ = read_oof(run.fold(fold))
        paths = [beasts / path for path in table["path"]]
        logits = np.concatenate([scored.logits[fold] for scored in ensemble.iter_logits(paths)])
        oof_logits = table["logits"].to_numpy()
        assert oof_logits.std() > 0.05
        np.testing.assert_allclose(logits, oof_logits, atol=1e-4)


@pytest.mark.slow
def test_second_probe_reads_the_cache(beasts: Path, tmp_path: Path, computed: list[int]) -> None:
    first = probe(beasts, tmp_path / "first")
    second = probe(beasts, tmp_path / "second")
    assert computed == [27]
    for fold in first.fold_numbers():
        assert first.fold(fold).weights.read_bytes() == second.fold(fold).weights.read_bytes()


@pytest.mark.slow
def test_cache_misses_are_computed(
    beasts: Path, tmp_path: Path, computed: list[int], cache: Path
) -> None:
    probe_one_fold(beasts, tmp_path / "first")
    # One image is new.
    more = tmp_path / "more"
    shutil.copytree(beasts, more)
    image = next(more.rglob("*.jpg"))
    Image.open(image).rotate(90).save(image.with_name("turned.png"))
    probe_one_fold(more, tmp_path / "second")
    assert computed == [27, 1]
    # All tables are damaged.
    for table in (cache / "frozen-features").rglob("*.parquet"):
        table.write_bytes(table.read_bytes()[:100])
    probe_one_fold(beasts, tmp_path / "third")
    assert computed == [27, 1, 27]
    assert read_image(image)


@pytest.mark.slow
def test_cache_key_has_view_and_network(beasts: Path, tmp_path: Path, computed: list[int]) -> None:
    probe_one_fold(beasts, tmp_path / "a")
    probe_one_fold(beasts, tmp_path / "b", "view.size=48")
    probe_one_fold(beasts, tmp_path / "c", "model.normalize=false")
    assert computed == [27, 27, 27]


def test_probe_needs_a_fitted_head_and_weights(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails("train", beasts, tmp_path / "run", "--set", "train.epochs=0", "model.head=random")
    assert "train.epochs = 0: nothing would be learned" in line
    line = fails("probe", beasts, tmp_path / "run", "--set", "model.weights=none")
    assert 'model.weights = "none": a fitted head needs a pretrained network' in line


@pytest.mark.slow
def test_unlabeled_copies_are_left_out(
    beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copies of labeled images and damaged files are counted; the others are learned from."""
    pool = tmp_path / "pool"
    draw_sample(tmp_path / "more", species=3, per_species=4, size=48, seed=5)
    shutil.copytree(tmp_path / "more", pool)
    for number, file in enumerate(sorted(beasts.rglob("*.jpg"))[:4]):
        shutil.copy(file, pool / f"copy-{number}.jpg")
    (pool / "damaged.jpg").write_bytes(b"no image")
    run = bestiary.probe(
        beasts, tmp_path / "run", overrides=OPTIONS, folds=3, unlabeled=pool, quiet=True
    )
    printed = capsys.readouterr()
    assert "left out: 4 labeled images" in printed.err + printed.out
    features = read_unlabeled(run)
    assert features is not None
    assert len(features) == 12
    assert "12 unlabeled images" in str(bestiary.show(run.path))
    head = read_head(run.fold(0))
    assert head is not None
    assert head.unlabeled + head.refused == 12


def test_unlabeled_needs_a_fitted_head(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails("train", beasts, tmp_path / "run", "--recipe", "paper", "--unlabelled", beasts)
    assert f"--unlabeled {beasts}: this recipe's heads start at random" in line
