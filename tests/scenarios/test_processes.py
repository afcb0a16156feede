"""A fold trained by several processes is the fold that one process trains, to within
floating-point reordering.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.data.loader import share_batch
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.distributed import _from_slurm, init_world

# Norms as they are: those that learn see each process's part of a batch on a CPU, which is another
# computation.
OPTIONS = [
    "model.backbone=timm/test_resnet",
    "model.freeze_norms=true",
    "train.precision=float32",
    "train.batch_size=4",
    "mix.probability=1.0",
    "optimizer.lr=1e-3",
]
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "bestiary",
]


def words(beasts: Path, tiny: Path, run: Path, folds: int, *more: str) -> list[str]:
    asked = [
        "train",
        str(beasts),
        str(run),
        "--recipe",
        str(tiny),
        "--folds",
        str(folds),
        "--quiet",
        *more,
    ]
    return [*asked, "--set", *OPTIONS]


@pytest.fixture(scope="module", params=[2, 3])
def alone(
    request: pytest.FixtureRequest,
    beasts: Path,
    tiny: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[int, Run]:
    """Two folds train on 13 or 14 images, of which batches of four leave one or two; three folds
    on 18.
    """
    place = tmp_path_factory.mktemp("alone") / "run"
    return request.param, bestiary.train(
        beasts, place, recipe=tiny, overrides=OPTIONS, folds=request.param, quiet=True
    )


def check_same(run: Run, reference: Run) -> None:
    assert run.read_table("folds.parquet").equals(reference.read_table("folds.parquet"))
    for fold in reference.fold_numbers():
        curves, wanted = (
            pl.read_csv(run.fold(fold).history),
            pl.read_csv(reference.fold(fold).history),
        )
        for column in ("epoch", "lr", "train_loss", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(curves[column], wanted[column], rtol=1e-4, err_msg=column)
        table, expected = read_oof(run.fold(fold))[0], read_oof(reference.fold(fold))[0]
        assert table["path"].to_list() == expected["path"].to_list()
        np.testing.assert_allclose(
            table["logits"].to_numpy(), expected["logits"].to_numpy(), atol=1e-4
        )


def test_two_processes_train_what_one_trains(
    alone: tuple[int, Run],
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folds, reference = alone
    run = bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        overrides=OPTIONS,
        folds=folds,
        processes=2,
        checkpoint_every="never",
    )
    check_same(run, reference)
    told = capfd.readouterr().err
    assert "shared by 2 processes" in told
    assert told.count("fold 1/") == 2, "each epoch is told once"
    assert "Warning" not in told


def test_under_torchrun_as_it_is_and_resumed_by_another_number_of_processes(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    """Stopped by a signal after some epochs with two processes; one process goes on to the end."""
    epochs = ["train.epochs=20", "train.keep_best=false"]
    asked = words(beasts, tiny, tmp_path / "run", 2, "--only-fold", "0")
    asked.remove("--quiet")
    told = ""
    with subprocess.Popen(
        [*TORCHRUN, *asked, *epochs], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told += line
            if "epoch 2/20" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode != 0
    assert told.count("To go on: bestiary train") == 1, told
    state = Run(tmp_path / "run").fold(0).state
    assert state.exists()
    run = bestiary.train(beasts, tmp_path / "run", only_fold=[0], resume=True, quiet=True)
    whole = bestiary.train(
        beasts,
        tmp_path / "whole",
        recipe=tiny,
        overrides=[*OPTIONS, *epochs],
        folds=2,
        only_fold=[0],
        quiet=True,
    )
    curves = [pl.read_csv(each.fold(0).history)["train_loss"].to_numpy() for each in (run, whole)]
    assert len(curves[0]) == len(curves[1]) == 20
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)


def test_under_accelerate_launch_as_it_is(
    beasts: Path, tiny: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    # --multi_gpu is what starts several processes without MPI, whether there are GPUs or not.
    options = {
        "num_machines": 1,
        "num_processes": 2,
        "num_cpu_threads_per_process": 1,
        "main_process_port": free_port(),
    }
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += [*(f"--{name}={value}" for name, value in options.items()), "-m", "bestiary"]
    asked = words(beasts, tiny, tmp_path / "run", 2)
    asked.remove("--quiet")
    done = subprocess.run([*launch, *asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "shared by 2 processes" in done.stderr
    whole = bestiary.train(
        beasts, tmp_path / "whole", recipe=tiny, overrides=OPTIONS, folds=2, quiet=True
    )
    check_same(Run(tmp_path / "run"), whole)


def test_what_one_process_meets_is_one_line(
    beasts: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The backbone's third stage cannot be frozen; only the processes that build the network
    find out.
    """
    asked = words(beasts, tiny, tmp_path / "run", 2, "--processes", "2")
    done = subprocess.run(
        [sys.executable, "-m", "bestiary", *asked, "model.freeze=99"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("bestiary: model.freeze = 99:")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("model.freeze = 99") == 1


def test_a_process_that_is_killed_ends_the_others_and_says_how_to_go_on(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    asked = words(beasts, tiny, tmp_path / "run", 2, "--only-fold", "0", "--processes", "2")
    command = [
        sys.executable,
        "-m",
        "bestiary",
        *asked,
        "train.epochs=100000",
        "train.compile=never",
        "train.threads=1",
        "train.layout=contiguous",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    fold = Run(tmp_path / "run").fold(0)
    while not fold.history.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    workers = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(workers.stdout.split()[-1]), signal.SIGKILL)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2
    assert told.splitlines()[-1].startswith(
        "bestiary: process 1 of the training has ended by signal 9"
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("mixed", [False, True])
def test_shares_of_a_batch(count: int, size: int, mixed: bool) -> None:
    rows = np.arange(10, 10 + count)
    shares = [share_batch(rows, rank, size, mixed=mixed) for rank in range(size)]
    working = [share for share in shares if share.weight]
    assert (
        np.concatenate([share.rows[share.before :] for share in working]).tolist() == rows.tolist()
    )
    assert sum(share.weight for share in shares) == pytest.approx(size)
    for share in shares:
        own = share.rows[share.before :]
        assert len(own) >= min(2, count)
        if share.weight:
            assert share.weight == pytest.approx(size * len(own) / count)
        if share.before:
            assert share.rows[0] == np.roll(rows, 1)[rows.tolist().index(own[0])]
        elif mixed:
            assert len(own) == count, "its neighbors are all there"


def test_a_step_of_slurm_is_a_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho node7\necho node8\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    step = {
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "node[7-8]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
        "SLURM_PROCID": "2",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "1",
        "SLURM_JOB_ID": "41234",
    }
    assert _from_slurm(step) == {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "node7",
        "MASTER_PORT": "21234",
    }
    assert _from_slurm({**step, "RANK": "0"}) == {}, "torchrun under srun has said it already"
    assert _from_slurm({"SLURM_JOB_ID": "1"}) == {}, "a batch script is no step"
    assert init_world({}).size == 1


def test_a_number_of_processes_that_cannot_be(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert "--processes 0" in fails("train", beasts, tmp_path / "run", "--processes", "0")
