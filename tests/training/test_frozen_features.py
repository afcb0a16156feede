"""A probe: heads on features of the frozen network, which are computed once for all folds and
runs.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.data.decode import read_image
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training import frozen_features as features

OPTIONS = ["view.size=32"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the frozen network was run on, each time that it was."""
    counts: list[int] = []
    predict = features.predict_rows
    monkeypatch.setattr(
        features, "predict_rows", lambda *a, **k: counts.append(len(a[2])) or predict(*a, **k)
    )
    return counts


def probe(beasts: Path, run: Path, *overrides: str) -> Run:
    return bestiary.probe(beasts, run, overrides=[*OPTIONS, *overrides], folds=3, quiet=True)


def test_a_probe_is_a_run_like_any_other(beasts: Path, tmp_path: Path) -> None:
    run = probe(beasts, tmp_path / "run")
    assert [run.fold(fold).ended for fold in run.fold_numbers()] == [True] * 3
    assert 0 <= run.read_json("metrics.json")["oof"]["accuracy"]["value"] <= 1
    assert "3 of 3" in str(bestiary.show(run.path)) or run.score_line in str(
        bestiary.show(run.path)
    )
    bestiary.predict(run.path, beasts, out=tmp_path / "prediction.csv", quiet=True)
    assert pl.read_csv(tmp_path / "prediction.csv").height == 27


def test_logits_out_of_fold_are_those_that_the_member_gives_the_images(
    beasts: Path, tmp_path: Path
) -> None:
    run = probe(beasts, tmp_path / "run", "train.precision=float32")
    ensemble = bestiary.load(run)
    for fold in run.fold_numbers():
        table, _ = read_oof(run.fold(fold))
        paths = [beasts / path for path in table["path"]]
        logits = np.concatenate([scored.logits[fold] for scored in ensemble.score(paths)])
        kept = table["logits"].to_numpy()
        assert kept.std() > 0.05
        np.testing.assert_allclose(logits, kept, atol=1e-4)


def test_the_second_probe_computes_nothing(
    beasts: Path, tmp_path: Path, computed: list[int]
) -> None:
    first = probe(beasts, tmp_path / "first")
    second = probe(beasts, tmp_path / "second")
    assert computed == [27]
    for fold in first.fold_numbers():
        assert first.fold(fold).weights.read_bytes() == second.fold(fold).weights.read_bytes()


def test_only_what_is_not_kept_is_computed(
    beasts: Path, tmp_path: Path, computed: list[int], own_cache: Path
) -> None:
    probe(beasts, tmp_path / "first")
    import shutil

    from PIL import Image

    more = tmp_path / "more"
    shutil.copytree(beasts, more)
    new = next(more.rglob("*.jpg"))
    Image.open(new).rotate(90).save(new.with_name("turned.png"))
    probe(more, tmp_path / "second")
    assert computed == [27, 1]
    for table in (own_cache / "features").rglob("*.parquet"):
        table.write_bytes(table.read_bytes()[:100])
    probe(beasts, tmp_path / "third")
    assert computed == [27, 1, 27]
    assert read_image(new)


def test_another_view_or_network_has_features_of_its_own(
    beasts: Path, tmp_path: Path, computed: list[int]
) -> None:
    probe(beasts, tmp_path / "a")
    bestiary.probe(
        beasts, tmp_path / "b", overrides=[*OPTIONS, "view.size=48"], folds=3, quiet=True
    )
    bestiary.probe(
        beasts, tmp_path / "c", overrides=[*OPTIONS, "model.normalize=false"], folds=3, quiet=True
    )
    assert computed == [27, 27, 27]


def test_no_epochs_need_a_probed_head(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails("train", beasts, tmp_path / "run", "--set", "train.epochs=0", "model.head=random")
    assert "train.epochs = 0: nothing would be learnt" in line
    line = fails("probe", beasts, tmp_path / "run", "--set", "model.weights=none")
    assert 'model.weights = "none": a probe needs a pretrained network' in line
