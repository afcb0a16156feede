"""MLflow, Trackio and W&B read back what a run has told them; skipped where they are not installed.

Each trains two folds of an epoch, and goes on with the finished run.
"""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bestiary
from bestiary.run.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
NAMES = ["run", "run-fold-0", "run-fold-1"]
BLOCK = 1 << 15  # bytes, of W&B's files


@pytest.fixture
def tracked(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Trains a run with a tracker in an empty folder, which is where trackers write."""
    monkeypatch.chdir(tmp_path)

    def train(tracker: str, **options: Any) -> Run:
        overrides = ["train.epochs=1", f"track.to={tracker}", "track.project=beasts"]
        run: Run = bestiary.train(
            beasts, "run", recipe=tiny, folds=2, quiet=True, overrides=overrides, **options
        )
        assert list(run.fold(0).tensorboard.glob("events.out.tfevents.*"))
        return run

    return train


def accuracy_of(run: Run) -> dict[str, Any]:
    scores = run.read_scores()
    assert scores is not None
    accuracy: dict[str, Any] = scores["accuracy"]
    return accuracy


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pytest.importorskip("mlflow", reason="extra `mlflow` is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return module


def test_mlflow(tracked: Callable[..., Run], mlflow: Any) -> None:
    run = tracked("mlflow")
    bestiary.report("run", quiet=True, no_saliency=True)
    tracked("mlflow", resume=True)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("beasts")
    found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == NAMES
    whole = found["run"]
    accuracy = accuracy_of(run)
    assert whole.data.metrics["oof_accuracy"] == pytest.approx(accuracy["value"])
    assert whole.data.metrics["oof_accuracy_low"] == pytest.approx(accuracy["low"])
    assert whole.data.params["train.epochs"] == "1"
    files = {file.path for file in client.list_artifacts(whole.info.run_id)}
    assert {"metrics.json", "recipe.toml", "report.html"} <= files
    copy = mlflow.artifacts.download_artifacts(
        run_id=whole.info.run_id, artifact_path="metrics.json"
    )
    assert json.loads(Path(copy).read_text()) == run.read_json("metrics.json")
    for fold in (0, 1):
        part = found[f"run-fold-{fold}"]
        assert part.data.tags["mlflow.parentRunId"] == whole.info.run_id
        assert part.data.params["fold"] == str(fold)
        assert part.info.status == "FINISHED"
        (logged,) = client.get_metric_history(part.info.run_id, "val_accuracy")
        history = bestiary.Run.open(run.path).history.filter(fold=fold)
        assert logged.value == pytest.approx(history["val_accuracy"][0])


STORES = {
    "a server that is down": "http://127.0.0.1:9",
    "a folder, which MLflow gives up": "file:{folder}/mlruns",
    "a file that is no database": "sqlite:///{folder}/text.db",
    "a scheme that is none": "bogus://x",
}


@pytest.mark.parametrize("store", STORES)
def test_mlflow_store_that_cannot_be_used(
    store: str, beasts: Path, tiny: Path, tmp_path: Path, fails, mlflow: Any, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    """One line before images are read, with the remedy."""
    (tmp_path / "text.db").write_text("no database, but text")
    uri = STORES[store].format(folder=tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    line = fails("train", beasts, tmp_path / "run", "--recipe", tiny, "--set", "track.to=mlflow")
    assert uri in line and "sqlite:///mlflow.db" in line
    assert len(line) < 600
    assert not (tmp_path / "run").exists()


def test_mlflow_experiment_that_was_deleted(
    beasts: Path, tiny: Path, tmp_path: Path, fails, mlflow: Any
) -> None:  # type: ignore[no-untyped-def]
    client = mlflow.MlflowClient()
    client.delete_experiment(client.create_experiment("gone"))
    options = ["--set", "track.to=mlflow", "track.project=gone"]
    line = fails("train", beasts, tmp_path / "run", "--recipe", tiny, *options)
    assert "mlflow experiments restore" in line


def test_mlflow_that_goes_down(
    tracked: Callable[..., Run],
    mlflow: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of a fold: one notice, and the same result."""

    def refuse(*_: object, **options: Any) -> None:
        if options.get("metrics"):
            raise mlflow.exceptions.MlflowException("the disk of the server is full")

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", refuse)
    run = tracked("mlflow")
    assert accuracy_of(run)["n"] == 27
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "does not take" in line] == [
        "mlflow: does not take the numbers of this run (the disk of the server is full); training "
        "goes on, and the next fold tries again"
    ]


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = pytest.importorskip("wandb", reason="extra `wandb` is not installed")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    yield module
    module.teardown()  # it remembers the variables


def records_of(folder: Path) -> list[Any]:
    """The records that W&B has written in an offline run: LevelDB's log format after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    content = file.read_bytes()
    place, pending, records = 7, b"", []
    while place + 7 < len(content):
        if BLOCK - place % BLOCK < 7:  # no room for a head: the rest of the block is empty
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        pending += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = Record()
            record.ParseFromString(pending)
            records.append(record)
            pending = b""
    return records


def test_wandb_offline(
    tracked: Callable[..., Run], wandb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tracked("wandb")
    wandb.teardown()  # which writes what is left
    found = {}
    for folder in sorted((tmp_path / "wandb").glob("offline-run-*")):
        records = records_of(folder)
        (info,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        found[info.display_name] = (info, records)
    assert sorted(found) == NAMES
    assert {info.run_group for info, _ in found.values()} == {"run"}
    assert {info.project for info, _ in found.values()} == {"beasts"}
    config = {item.key: json.loads(item.value_json) for item in found["run"][0].config.update}
    assert config["train.epochs"] == 1

    def history(name: str) -> dict[str, Any]:
        items = [
            item
            for record in found[name][1]
            if record.WhichOneof("record_type") == "history"
            for item in record.history.item
        ]
        return {
            (item.key or ".".join(item.nested_key)): json.loads(item.value_json) for item in items
        }

    accuracy = accuracy_of(run)
    assert history("run")["oof_accuracy"] == pytest.approx(accuracy["value"])
    assert history("run")["oof_accuracy_high"] == pytest.approx(accuracy["high"])
    assert "val_accuracy" in history("run-fold-1")
    kinds = [record.WhichOneof("record_type") for record in found["run"][1]]
    assert "artifact" in kinds or "request" in kinds


def test_wandb_without_a_key(
    beasts: Path, tiny: Path, tmp_path: Path, fails, wandb: Any, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    line = fails("train", beasts, tmp_path / "run", "--recipe", tiny, "--set", "track.to=wandb")
    assert "WANDB_MODE=offline" in line and "wandb login" in line
    assert not (tmp_path / "run").exists()


def test_wandb_service_that_is_down(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    """With a key but no connection: the run goes on, and the process ends."""
    pytest.importorskip("wandb", reason="extra `wandb` is not installed")
    environment = os.environ | {
        "WANDB_API_KEY": "0" * 40,
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_INIT_TIMEOUT": "5",
    }
    command = [sys.executable, "-m", "bestiary", "train", str(beasts), "run", "--recipe", str(tiny)]
    command += ["--folds", "2", "--set", "train.epochs=1", "track.to=wandb"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Out-of-fold accuracy")
    assert done.stderr.count("wandb: does not take the numbers of this run") == 1


TRACKIO = """
import json
from trackio import Api
from trackio.sqlite_storage import SQLiteStorage as storage

print(json.dumps({
    run.name: {
        "config": run.config,
        "logs": storage.get_logs("beasts", run.name),
        "artifacts": len(storage.get_artifacts("beasts")),
    }
    for run in Api().runs("beasts")
}))
"""


def test_trackio(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    """In processes of their own: it reads its variables once."""
    pytest.importorskip("trackio", reason="extra `trackio` is not installed")
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = ["-m", "bestiary", "train", str(beasts), "run", "--recipe", str(tiny), "--folds", "2"]
    options = ["--set", "train.epochs=1", "track.to=trackio", "track.project=beasts"]
    printed = json.loads(python(*command, *options, "--json"))  # though Trackio prints addresses
    python("-m", "bestiary", "train", str(beasts), "run", "--resume")
    found = json.loads(python("-c", TRACKIO).splitlines()[-1])
    assert sorted(name[:-7] for name in found) == NAMES
    runs = {name[:-7]: run for name, run in found.items()}
    assert {run["config"]["_Group"] for run in runs.values()} == {"run"}
    assert runs["run"]["config"]["train.epochs"] == 1
    assert runs["run"]["logs"][0]["oof_accuracy"] == printed["accuracy"]["value"]
    assert "val_accuracy" in runs["run-fold-1"]["logs"][0]
    assert runs["run"]["artifacts"] == 1
