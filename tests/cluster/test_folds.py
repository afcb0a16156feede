"""Folds on Ray equal those of a local run, also if a worker or a machine is lost."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

import bestiary
from bestiary.cli import main
from bestiary.cluster.connection import Connection, alive_nodes
from bestiary.errors import DataError
from bestiary.run.oof import read_oof
from bestiary.run.run import Run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),  # Ray leaves files open
]

# Ray's server for clients forks while gRPC has threads, which gRPC's fork handlers do not survive.
TOKEN_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a" * 64,
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


def digests(run: Run) -> dict[int, tuple[bytes, bytes]]:
    """Weights and out-of-fold logits of each fold."""
    content = {}
    for number in run.fold_numbers():
        table, _ = read_oof(run.fold(number))
        logits = table["logits"].to_numpy().tobytes()
        content[number] = (run.fold(number).weights.read_bytes(), logits)
    return content


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    """Two nodes on loopback with a core each, which this process is connected to.

    Workers are started once: each imports all of training.
    """
    head = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    with Connection("ray") as connection:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_ADDRESS", cluster.address)
            connection.wait()
        assert len(alive_nodes()) == 2
        yield cluster
    cluster.shutdown()
    gc.collect()  # Ray's processes that still end warn here, not after the last test


def once_trained(run: Run, act: Callable[[], Any], folds: int = 1) -> threading.Thread:
    """Act as soon as this number of folds is in training and has a checkpoint."""

    def is_in_training(number: int) -> bool:
        files = run.fold(number)
        return files.folder.exists() and files.state.exists() and not files.ended

    def wait() -> None:
        for _ in range(6000):
            if sum(is_in_training(number) for number in range(3)) >= folds:
                act()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def processes_named(words: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if words in " ".join(process.info["cmdline"] or [])
    ]


def test_error_in_a_worker(
    beasts: Path, tiny: Path, tmp_path: Path, options: list[str], two_nodes: Cluster
) -> None:
    data = shutil.copytree(beasts, tmp_path / "data")
    run = bestiary.train(
        data,
        tmp_path / "run",
        recipe=tiny,
        overrides=options,
        folds=3,
        only_fold=[0],
        quiet=True,
    )
    image = next(data.rglob("*.jpg"))
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(DataError, match="images are gone"):
        bestiary.train(data, run.path, resume=True, cluster="ray", quiet=True)
    image.write_bytes(content)
    assert bestiary.train(data, run.path, resume=True, cluster="ray", quiet=True).score_line


@pytest.fixture
def remote_cluster(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of a cluster that `ray start` runs, as on a machine of its own."""
    port = free_port()
    client_port = free_port()
    command = [
        f"{Path(sys.executable).parent}/ray",
        "start",
        "--head",
        "--block",
        "--num-cpus=1",  # one worker trains both folds: each imports all of training
        f"--port={port}",
        f"--ray-client-server-port={client_port}",
        "--include-dashboard=false",
    ]
    # Its own folder hides the cluster from later tests. The path is short, for socket names.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as own:
        with (tmp_path / "ray.log").open("wb") as log:
            head = subprocess.Popen(
                [*command, f"--temp-dir={own}"],
                stdout=log,
                stderr=log,
                env=os.environ | TOKEN_ENVIRONMENT,
            )
        yield f"ray://127.0.0.1:{client_port}"
        head.terminate()
        head.wait(60)


def test_remote_cluster_with_a_token(
    beasts: Path, tiny: Path, tmp_path: Path, options: list[str], remote_cluster: str
) -> None:
    here = bestiary.train(
        beasts,
        tmp_path / "here",
        recipe=tiny,
        overrides=options,
        folds=2,
        quiet=True,
    )
    command = [sys.executable, "-m", "bestiary", "train", str(beasts), str(tmp_path / "there")]
    command += ["--recipe", str(tiny), "--folds", "2", "--cluster", remote_cluster, "--quiet"]
    command += ["--set", *options]
    process = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | TOKEN_ENVIRONMENT,
    )
    assert process.returncode == 0, process.stderr
    assert digests(Run(tmp_path / "there")) == digests(here)


def test_sigterm_and_resume(
    beasts: Path,
    tiny: Path,
    local: Run,
    long_options: list[str],
    tmp_path: Path,
    two_nodes: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is interrupted on a cluster of its own, and goes on on another one."""
    run = Run(tmp_path / "run")
    words = ["train", str(beasts), str(run.path)]
    begin = [sys.executable, "-m", "bestiary", *words, "--recipe", str(tiny), "--folds", "3"]
    begin += ["--cluster", "ray", "--set", *long_options]
    own = os.environ | {"RAY_ADDRESS": "local"}
    with subprocess.Popen(begin, stderr=subprocess.PIPE, text=True, env=own) as training:
        thread = once_trained(run, lambda: training.send_signal(signal.SIGTERM))
        _, messages = training.communicate()
        thread.join()
    assert training.returncode == 128 + signal.SIGTERM, messages
    remedy = f"To go on: bestiary train {beasts} {run.path} --resume"
    assert remedy in messages.replace("\n", "")

    capsys.readouterr()
    assert main([*words, "--resume", "--cluster", "ray"]) == 0
    assert "resumed after epoch" in capsys.readouterr().err
    assert digests(run) == digests(local)


def test_ablate_equals_a_local_ablation(
    beasts: Path, tiny: Path, tmp_path: Path, options: list[str], two_nodes: Cluster
) -> None:
    arguments = {
        "vary": ["mix.probability=0"],
        "recipe": tiny,
        "overrides": [*options, "folds.n=2"],
        "quiet": True,
    }
    here = tmp_path / "here"
    there = tmp_path / "there"
    local = bestiary.ablate(beasts, here, **arguments)
    on_ray = bestiary.ablate(beasts, there, **arguments, cluster="ray")
    assert str(local).replace("/here", "/there") == str(on_ray)
    names = sorted(file.parent.relative_to(here) for file in here.glob("*/*/recipe.toml"))
    assert len(names) == 2
    for name in names:
        assert digests(Run(here / name)) == digests(Run(there / name))


def test_cluster_option_is_checked(beasts: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    line = fails("train", beasts, tmp_path / "run", "--cluster", "moon")
    assert "--cluster moon: is no cluster" in line


# The last test: it leaves one node.
def test_lost_worker_and_node_keep_the_digests(
    beasts: Path,
    tiny: Path,
    local: Run,
    long_options: list[str],
    tmp_path: Path,
    two_nodes: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(tmp_path / "run")
    n_workers = []

    def kill() -> None:
        workers = processes_named("ray::_train_fold")
        n_workers.append(len(workers))
        os.kill(workers[0].pid, signal.SIGKILL)
        time.sleep(1)
        two_nodes.remove_node(two_nodes.list_all_nodes[-1], allow_graceful=False)

    # Both folds have a checkpoint, whichever is killed.
    thread = once_trained(run, kill, folds=2)
    bestiary.train(beasts, run.path, recipe=tiny, overrides=long_options, folds=3, cluster="ray")
    thread.join()
    assert n_workers, "no fold was in training"
    assert n_workers[0] >= 1, "no fold was in training"
    assert digests(run) == digests(local)
    assert capsys.readouterr().err.count("resumed after epoch") >= 1
    assert run.score_line == local.score_line
