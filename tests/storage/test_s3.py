"""Images, tables, shards and runs in object stores with faults: nothing is lost, retries end."""

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
from bestiary.errors import ArgumentError, DataError, RunError
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.storage import files as storing
from bestiary.storage import mirror
from bestiary.storage.files import StoredFile, StoredFolder
from bestiary.storage.mirror import working_folder
from bestiary.training import loop

# botocore and moto use deprecated functions.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

RUN = "s3://bucket/runs/one"
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
    run = tmp_path_factory.mktemp("local") / "run"
    return bestiary.train(beasts, run, recipe=tiny, overrides=OPTIONS, folds=2, quiet=True)


def move_to_another_machine() -> None:
    """Remove all local copies, as on another machine."""
    for name in ("runs", "shards", "store"):
        shutil.rmtree(cache_root() / name, ignore_errors=True)


def test_s3_run_resumes_on_another_machine(
    beasts: Path, tiny: Path, local: Run, s3: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("s3").put(f"{beasts}/", "bucket/images/", recursive=True)
    s3.busy_every = 7
    s3.broken_every = 11

    # Interrupt the training, then resume it without the local copies.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "backward", interrupted_at_step(6))
        bestiary.train(
            "s3://bucket/images", RUN, recipe=tiny, overrides=OPTIONS, folds=2, quiet=True
        )
    move_to_another_machine()
    run = bestiary.train("s3://bucket/images", RUN, resume=True, quiet=True)
    assert s3.n_faults > 10
    assert digests(run) == digests(local)

    # The store has the whole run.
    paths = fsspec.filesystem("s3").find("bucket/runs/one")
    names = {path.removeprefix("bucket/runs/one/") for path in paths}
    assert {"recipe.toml", "metrics.json", "fold-1/oof.parquet"} <= names
    assert "fold-0/last/state.safetensors" in names
    move_to_another_machine()
    with working_folder(RUN) as folder:
        assert digests(Run(folder)) == digests(local)
    check_verbs_on_stored_run(run, local, beasts)


def interrupted_at_step(step: int) -> Callable[..., Any]:
    steps = iter(range(1, 1000))
    backward = loop.backward

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(steps) == step:
            raise KeyboardInterrupt
        return backward(*arguments, **options)

    return interrupted


def check_verbs_on_stored_run(run: Run, local: Run, beasts: Path) -> None:
    image = next(beasts.rglob("*.jpg")).read_bytes()
    near = bestiary.load(local.path).predict_proba([image])
    far = bestiary.load(RUN).predict_proba([image])
    assert (near == far).all()
    shown, shown_there = (str(bestiary.show(place)) for place in (RUN, run.path))
    whole = shown.partition("What next:")  # whose reasons have no room after a long path
    assert whole[0] == shown_there.partition("What next:")[0].replace(str(run.path), RUN)
    assert f"bestiary report {RUN}" in whole[2]
    report = bestiary.report(RUN, no_saliency=True, quiet=True)
    assert report.place == f"{RUN}/report.html"
    assert fsspec.filesystem("s3").cat("bucket/runs/one/report.html").startswith(b"<!DOCTYPE html>")
    assert " 0.0 (" in str(bestiary.compare(RUN, local.path))
    bestiary.labels(RUN, out=beasts.parent / "labels")
    with pytest.raises(ArgumentError, match="give a folder of this machine with --out"):
        bestiary.labels(RUN)
    assert bestiary.export(RUN, beasts.parent / "model.onnx", quiet=True)
    with pytest.raises(RunError, match="s3://bucket/runs/none: no run is there"):
        bestiary.predict(
            "s3://bucket/runs/none", beasts, out=beasts.parent / "never.csv", quiet=True
        )


def test_table_of_s3_paths_is_trained(
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


def test_s3_and_local_shards_train_alike(
    beasts: Path, tiny: Path, s3: Any, quick: None, tmp_path: Path
) -> None:
    assert bestiary.shard(beasts, tmp_path / "shards", megabytes=1, quiet=True).images == 27
    s3.busy_every = 5
    s3.broken_every = 7
    assert bestiary.shard(beasts, "s3://bucket/shards", megabytes=1, quiet=True).images == 27
    overrides = [*OPTIONS, "data.store=false", "data.shuffle_buffer=8"]
    runs = [
        bestiary.train(
            place, tmp_path / f"run{number}", recipe=tiny, overrides=overrides, folds=2, quiet=True
        )
        for number, place in enumerate([tmp_path / "shards", "s3://bucket/shards"])
    ]
    assert s3.n_faults > 2
    assert digests(runs[0]) == digests(runs[1])
    assert sum(read_oof(runs[1].fold(fold))[0].height for fold in runs[1].fold_numbers()) == 27


def test_shards_and_run_in_google_storage(beasts: Path, tiny: Path, gs: None) -> None:
    assert bestiary.shard(beasts, "gs://bucket/shards", quiet=True).images == 27
    run = bestiary.train(
        "gs://bucket/shards", "gs://bucket/run", recipe=tiny, overrides=OPTIONS, folds=2, quiet=True
    )
    expected = digests(run)
    move_to_another_machine()
    with working_folder("gs://bucket/run") as folder:
        assert digests(Run(folder)) == expected
    assert "fold 1: ended" in str(bestiary.show("gs://bucket/run"))


def test_dead_store_fails_after_bounded_retries(
    s3: Any, quick: None, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs.core

    monkeypatch.setattr(s3fs.core.S3FileSystem, "retries", 1)
    s3.is_dead = True
    s3.n_requests = 0
    assert "s3://bucket/images" in fails("train", "s3://bucket/images", tmp_path / "run", "--quiet")
    assert s3.n_requests <= 3 * storing.TRIES * 2 * 2, (
        "three requests, each tried by bestiary, s3fs and botocore"
    )


def test_shards_whose_index_is_unreadable(
    beasts: Path,
    s3: Any,
    quick: None,
    tmp_path: Path,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import s3fs.core

    monkeypatch.setattr(s3fs.core.S3FileSystem, "retries", 1)
    assert bestiary.shard(beasts, "s3://bucket/shards", quiet=True).images == 27
    s3.dead_paths = ("index.parquet",)
    for command in (
        ["train", "s3://bucket/shards", tmp_path / "run", "--quiet"],
        ["scan", "s3://bucket/shards"],
        ["shard", beasts, "s3://bucket/shards"],
    ):
        message = fails(*command)
        assert "s3://bucket/shards/index.parquet: cannot be looked up" in message, command
        assert "try again later" in message
    s3.dead_paths = ()
    s3.is_dead = True
    for look in (StoredFolder("s3://bucket").is_dir, StoredFolder("s3://bucket/shards").is_dir):
        with pytest.raises(DataError, match=r"s3://bucket.*: cannot be looked up"):
            look()
    s3.is_dead = False
    assert StoredFolder("s3://bucket/shards").is_dir()
    assert not StoredFolder("s3://bucket/none").is_dir()
    assert StoredFile("s3://bucket/shards/index.parquet").is_file()
    assert not StoredFile("s3://bucket/shards").is_file()


def test_mirror_uploads_only_what_was_written(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("s3")
    store.pipe(
        {"bucket/run/recipe.toml": b"old", "bucket/run/fold-0/weights.safetensors": b"large"}
    )
    sent: list[str] = []
    put = mirror.put_file
    monkeypatch.setattr(
        mirror, "put_file", lambda file, address: (sent.append(file.name), put(file, address))
    )
    move_to_another_machine()
    with working_folder("s3://bucket/run") as folder:
        (folder / "recipe.toml").write_text("newer")
        write_text(folder / "fold-0" / "history.csv", "epoch")
    assert sorted(sent) == ["history.csv", "recipe.toml"]
    assert store.cat("bucket/run/recipe.toml") == b"newer"
