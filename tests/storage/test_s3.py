"""Images, tables, shards and runs in a store that is busy and breaks connections: nothing is
lost, retries end.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest

import bestiary
from bestiary.atomic import write_text
from bestiary.caches import cache_root
from bestiary.errors import ArgumentError, RunError
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.storage import files as storing
from bestiary.storage import mirror
from bestiary.storage.mirror import working_folder
from bestiary.training import loop

pytestmark = pytest.mark.filterwarnings("ignore")  # botocore and moto use what is deprecated

OPTIONS = [
    "model.backbone=timm/test_resnet",
    "train.precision=float32",
    "train.layout=contiguous",
    "train.threads=1",
]


def digests(run: Run) -> dict[int, tuple[bytes, bytes]]:
    return {
        fold: (
            run.fold(fold).weights.read_bytes(),
            read_oof(run.fold(fold))[0]["logits"].to_numpy().tobytes(),
        )
        for fold in run.fold_numbers()
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "FIRST_WAIT", 0.001)


@pytest.fixture(scope="module")
def local(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("local") / "run"
    return bestiary.train(beasts, place, recipe=tiny, overrides=OPTIONS, folds=2, quiet=True)


def another_machine() -> None:
    """Nothing of what was fetched or worked on is on this disk any more."""
    for name in ("runs", "shards", "store"):
        shutil.rmtree(cache_root() / name, ignore_errors=True)


def test_images_and_run_in_a_store_killed_and_gone_on_with_elsewhere(
    beasts: Path, tiny: Path, local: Run, s3: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("s3").put(f"{beasts}/", "bucket/images/", recursive=True)
    s3.busy, s3.broken = 7, 11
    steps = iter(range(1, 1000))
    backward = loop.backward

    def dying(*arguments: Any, **more: Any) -> Any:
        if next(steps) == 6:
            raise KeyboardInterrupt
        return backward(*arguments, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "backward", dying)
        bestiary.train(
            "s3://bucket/images",
            "s3://bucket/runs/one",
            recipe=tiny,
            overrides=OPTIONS,
            folds=2,
            quiet=True,
        )
    another_machine()
    run = bestiary.train("s3://bucket/images", "s3://bucket/runs/one", resume=True, quiet=True)
    assert s3.failed > 10
    assert digests(run) == digests(local)
    stored = {
        name.removeprefix("bucket/runs/one/")
        for name in fsspec.filesystem("s3").find("bucket/runs/one")
    }
    assert {
        "recipe.toml",
        "metrics.json",
        "fold-1/oof.parquet",
        "fold-0/last/state.safetensors",
    } <= stored
    another_machine()
    with storing_working_folder("s3://bucket/runs/one") as folder:
        assert digests(Run(folder)) == digests(local)
    one = next(beasts.rglob("*.jpg")).read_bytes()
    near, far = (
        bestiary.load(place).predict_proba([one]) for place in (local.path, "s3://bucket/runs/one")
    )
    assert (near == far).all()
    summary = str(bestiary.show("s3://bucket/runs/one"))
    assert summary == str(bestiary.show(run.path)).replace(str(run.path), "s3://bucket/runs/one")
    report = bestiary.report("s3://bucket/runs/one", no_saliency=True, quiet=True)
    assert report.place == "s3://bucket/runs/one/report.html"
    assert fsspec.filesystem("s3").cat("bucket/runs/one/report.html").startswith(b"<!DOCTYPE html>")
    compared = str(bestiary.compare("s3://bucket/runs/one", local.path))
    assert "+0.0000" in compared
    bestiary.labels("s3://bucket/runs/one", out=beasts.parent / "labels")
    with pytest.raises(ArgumentError, match="give a folder of this machine with --out"):
        bestiary.labels("s3://bucket/runs/one")
    assert bestiary.export("s3://bucket/runs/one", beasts.parent / "model.onnx", quiet=True)
    with pytest.raises(RunError, match="s3://bucket/runs/none: no run is there"):
        bestiary.predict(
            "s3://bucket/runs/none", beasts, out=beasts.parent / "never.csv", quiet=True
        )


def storing_working_folder(address: str) -> Any:
    from bestiary.storage.mirror import working_folder

    return working_folder(address)


def test_a_table_that_points_into_a_store(
    beasts: Path, tiny: Path, local: Run, s3: Any, tmp_path: Path
) -> None:
    fsspec.filesystem("s3").put(f"{beasts}/", "bucket/images/", recursive=True)
    manifest = local.read_table("manifest.parquet")
    table = manifest.select(("s3://bucket/images/" + pl.col("path")).alias("path"), "label")
    table.write_csv(tmp_path / "table.csv")
    run = bestiary.train(
        tmp_path / "table.csv",
        tmp_path / "run",
        recipe=tiny,
        overrides=OPTIONS,
        folds=2,
        quiet=True,
    )
    assert str(run.read_root()) == "s3://bucket/images"
    assert digests(run) == digests(local)


def test_shards_in_a_store_and_on_a_disk_are_trained_alike(
    beasts: Path, tiny: Path, s3: Any, quick: None, tmp_path: Path
) -> None:
    assert bestiary.shard(beasts, tmp_path / "shards", megabytes=1, quiet=True).images == 27
    s3.busy, s3.broken = 5, 7
    assert bestiary.shard(beasts, "s3://bucket/shards", megabytes=1, quiet=True).images == 27
    overrides = [*OPTIONS, "data.store=false", "data.shuffle_buffer=8"]
    runs = [
        bestiary.train(
            place, tmp_path / f"run{number}", recipe=tiny, overrides=overrides, folds=2, quiet=True
        )
        for number, place in enumerate([tmp_path / "shards", "s3://bucket/shards"])
    ]
    assert s3.failed > 2
    assert digests(runs[0]) == digests(runs[1])
    assert sum(read_oof(runs[1].fold(fold))[0].height for fold in runs[1].folds) == 27


def test_shards_and_a_run_in_a_store_of_googles(beasts: Path, tiny: Path, gs: None) -> None:
    assert bestiary.shard(beasts, "gs://bucket/shards", quiet=True).images == 27
    run = bestiary.train(
        "gs://bucket/shards", "gs://bucket/run", recipe=tiny, overrides=OPTIONS, folds=2, quiet=True
    )
    kept = digests(run)
    another_machine()
    with working_folder("gs://bucket/run") as folder:
        assert digests(Run(folder)) == kept
    assert "fold 1: ended" in str(bestiary.show("gs://bucket/run"))


def test_a_store_that_answers_no_more_is_one_line_after_a_bounded_number_of_tries(
    s3: Any, quick: None, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs.core

    monkeypatch.setattr(s3fs.core.S3FileSystem, "retries", 1)
    s3.dead, s3.asked = True, 0
    assert "s3://bucket/images" in fails("train", "s3://bucket/images", tmp_path / "run", "--quiet")
    assert s3.asked <= 3 * storing.TRIES * 2 * 2, (
        "three questions, tried by bestiary, s3fs and botocore"
    )


def test_only_what_was_written_is_sent(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("s3")
    store.pipe(
        {"bucket/run/recipe.toml": b"old", "bucket/run/fold-0/weights.safetensors": b"large"}
    )
    sent: list[str] = []
    put = mirror.put_file
    monkeypatch.setattr(
        mirror, "put_file", lambda file, address: (sent.append(file.name), put(file, address))
    )
    another_machine()
    with storing_working_folder("s3://bucket/run") as folder:
        (folder / "recipe.toml").write_text("newer")
        write_text(folder / "fold-0" / "history.csv", "epoch")
    assert sorted(sent) == ["history.csv", "recipe.toml"]
    assert store.cat("bucket/run/recipe.toml") == b"newer"
