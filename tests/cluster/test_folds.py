"""Folds on Ray are the folds of a local run, also where a worker or a machine is lost on the
way.
"""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

import bestiary
from bestiary.errors import DataError
from bestiary.run.oof import read_oof
from bestiary.run.run import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray leaves files open

# One thread a fold, so that folds run side by side on two cores, and the same arithmetic
# everywhere.
OPTIONS = [
    "model.backbone=timm/test_resnet",
    "train.threads=1",
    "train.precision=float32",
    "train.layout=contiguous",
]
LONG = [*OPTIONS, "train.epochs=25", "train.batch_size=2"]


def digests(run: Run) -> dict[int, tuple[bytes, bytes]]:
    return {
        fold: (
            run.fold(fold).weights.read_bytes(),
            read_oof(run.fold(fold))[0]["logits"].to_numpy().tobytes(),
        )
        for fold in run.fold_numbers()
    }


@pytest.fixture(scope="module")
def local(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("local") / "run"
    return bestiary.train(beasts, place, recipe=tiny, overrides=LONG, folds=3, quiet=True)


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two nodes on loopback with a core each."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    # Ray's programs that are still ending are told of here, not at the end of all tests
    gc.collect()


@pytest.fixture
def two_workers() -> Iterator[None]:
    """One machine with two cores."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    gc.collect()


def once_trained(run: Run, act: Callable[[], Any], folds: int = 1) -> threading.Thread:
    """Do something as soon as so many folds are under way and have a state."""

    def wait() -> None:
        for _ in range(1200):
            begun = [run.fold(fold) for fold in range(3) if run.fold(fold).folder.exists()]
            if sum(files.state.exists() and not files.ended for files in begun) >= folds:
                return act()
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_worker_and_a_machine_are_lost_and_the_digests_are_a_local_runs(
    beasts: Path,
    tiny: Path,
    local: Run,
    tmp_path: Path,
    two_nodes: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, lost = Run(tmp_path / "run"), []

    def kill() -> None:
        workers = [
            p
            for p in psutil.process_iter(["cmdline"])
            if "ray::_train" in " ".join(p.info["cmdline"] or [])
        ]
        lost.append(len(workers))
        os.kill(workers[0].pid, signal.SIGKILL)
        time.sleep(1)
        two_nodes.remove_node(two_nodes.list_all_nodes[-1], allow_graceful=False)

    thread = once_trained(
        run, kill, folds=2
    )  # or it could be the one without a state that is killed
    bestiary.train(beasts, run.path, recipe=tiny, overrides=LONG, folds=3, cluster="ray")
    thread.join()
    assert lost and lost[0] >= 1, "a fold was under way"
    assert digests(run) == digests(local)
    told = capsys.readouterr().err
    assert told.count("goes on after epoch") >= 1, "what was lost went on from a state"
    assert run.score_line == local.score_line


def test_one_machine_two_workers_and_an_error_that_a_worker_meets(
    beasts: Path, tiny: Path, tmp_path: Path, two_workers: None
) -> None:
    data = shutil.copytree(beasts, tmp_path / "data")
    run = bestiary.train(
        data, tmp_path / "run", recipe=tiny, overrides=OPTIONS, folds=3, only_fold=[0], quiet=True
    )
    image = next(data.rglob("*.jpg"))
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(DataError, match="images are gone"):
        bestiary.train(data, run.path, resume=True, cluster="ray", quiet=True)
    image.write_bytes(content)
    assert bestiary.train(data, run.path, resume=True, cluster="ray", quiet=True).score_line


# Ray's server for clients forks beside gRPC's threads, which gRPC's own handlers of forks do not
# survive.
WITH_TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "GRPC_ENABLE_FORK_SUPPORT": "0"}


@pytest.fixture
def elsewhere(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of a cluster that `ray start` has started, as on a machine of its own."""
    cluster, clients = free_port(), free_port()
    command = [f"{Path(sys.executable).parent}/ray", "start", "--head", "--block", "--num-cpus=2"]
    command += [
        f"--port={cluster}",
        f"--ray-client-server-port={clients}",
        "--include-dashboard=false",
    ]
    # A folder of its own, lest later tests take this cluster for theirs; short, for the sockets'
    # names.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as own:
        with (tmp_path / "ray.log").open("wb") as log:
            head = subprocess.Popen(
                [*command, f"--temp-dir={own}"], stdout=log, stderr=log, env=os.environ | WITH_TOKEN
            )
        yield f"ray://127.0.0.1:{clients}"
        head.terminate()
        head.wait(60)


def test_a_cluster_elsewhere_trains_what_is_trained_here(
    beasts: Path, tiny: Path, tmp_path: Path, elsewhere: str
) -> None:
    here = bestiary.train(
        beasts, tmp_path / "here", recipe=tiny, overrides=OPTIONS, folds=2, quiet=True
    )
    command = [
        sys.executable,
        "-m",
        "bestiary",
        "train",
        str(beasts),
        str(tmp_path / "there"),
        "--folds",
        "2",
    ]
    command += ["--recipe", str(tiny), "--cluster", elsewhere, "--quiet", "--set", *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | WITH_TOKEN)
    assert done.returncode == 0, done.stderr
    assert digests(Run(tmp_path / "there")) == digests(here)


def test_a_command_that_is_stopped_keeps_what_was_trained_and_goes_on(
    beasts: Path, tiny: Path, local: Run, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    command = [sys.executable, "-m", "bestiary", "train", str(beasts), str(run.path)]
    begin = [*command, "--recipe", str(tiny), "--folds", "3", "--cluster", "ray", "--set", *LONG]
    with subprocess.Popen(begin, stderr=subprocess.PIPE, text=True) as training:
        thread = once_trained(run, lambda: training.send_signal(signal.SIGTERM))
        told = training.communicate()[1]
        thread.join()
    assert training.returncode == 128 + signal.SIGINT, (
        told
    )  # Ray, which waits, hands on either signal as Ctrl-C
    assert f"To go on: bestiary train {beasts} {run.path} --resume" in told.replace("\n", "")
    done = subprocess.run(
        [*command, "--resume", "--cluster", "ray"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "goes on after epoch" in done.stderr
    assert digests(run) == digests(local)


def test_variants_of_an_ablation_are_those_of_a_local_one(
    beasts: Path, tiny: Path, tmp_path: Path, two_workers: None
) -> None:
    asked = {
        "over": ["mix.probability=0"],
        "recipe": tiny,
        "overrides": [*OPTIONS, "folds.n=2"],
        "quiet": True,
    }
    here = bestiary.ablate(beasts, tmp_path / "here", **asked)
    there = bestiary.ablate(beasts, tmp_path / "there", **asked, cluster="ray")
    assert str(here).replace("/here", "/there") == str(there)
    runs = sorted(
        place.parent.relative_to(tmp_path / "here")
        for place in (tmp_path / "here").glob("*/*/recipe.toml")
    )
    assert len(runs) == 2
    for run in runs:
        assert digests(Run(tmp_path / "here" / run)) == digests(Run(tmp_path / "there" / run))


def test_replicas_answer_as_the_ensemble_does_and_one_that_is_lost_is_replaced(
    local: Run, beasts: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "bestiary",
        "serve",
        str(local.path),
        "--cluster",
        "ray",
        "--replicas",
        "2",
    ]
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    with log.open("wb") as lines:
        serving = subprocess.Popen(
            [*command, "--port", "0"], stdout=lines, stderr=lines, env=environment
        )
    try:
        url = address_in(log, serving)
        image = next(beasts.rglob("*.jpg")).read_bytes()
        expected = bestiary.load(local).predict_proba([image])[0]
        assert answer(url, image) == pytest.approx(expected.max(), abs=1e-4)
        replicas = [
            p
            for p in psutil.process_iter(["cmdline"])
            if "ServeReplica" in " ".join(p.info["cmdline"] or [])
        ]
        assert len(replicas) == 2
        replicas[0].kill()
        for _ in range(20):  # what was under way at the lost replica may fail; the service goes on
            with suppress(urllib.error.HTTPError):
                assert answer(url, image) == pytest.approx(expected.max(), abs=1e-4)
                break
        with pytest.raises(urllib.error.HTTPError) as refused:
            answer(url, b"no image")
        assert refused.value.code == 415
    finally:
        serving.send_signal(signal.SIGTERM)
        ended = serving.wait(60)
    assert ended == 0, log.read_text()


def address_in(log: Path, serving: "subprocess.Popen[bytes]") -> str:
    for _ in range(1200):
        if found := re.search(r"at (http://\S+)", log.read_text()):
            return found[1]
        assert serving.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def answer(url: str, content: bytes) -> float:
    """Confidence in the likeliest class."""
    asked = urllib.request.Request(f"{url}v1/predict", content, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(asked, timeout=60) as response:
        return float(json.load(response)["predictions"][0]["confidence"])


def test_replicas_that_cannot_be(local: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "--replicas 2: needs a cluster; add --cluster ray" in fails(
        "serve", local.path, "--replicas", 2
    )
    assert "--replicas 0: choose 1 or more" in fails(
        "serve", local.path, "--cluster", "ray", "--replicas", 0
    )
    assert "no such run" in fails("serve", tmp_path / "none", "--cluster", "ray")


def test_places_that_are_none(beasts: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "--cluster moon: is no cluster" in fails(
        "train", beasts, tmp_path / "run", "--cluster", "moon"
    )
