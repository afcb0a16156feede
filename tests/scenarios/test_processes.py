"""Several processes: a fold trained by them is the fold that one process trains.

The results agree to within the reordering of floating-point sums.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest

import bestiary
from bestiary.cli import main
from bestiary.data.loader import rank_batch
from bestiary.errors import ArgumentError, DataError
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.distributed import SINGLE_PROCESS, init_world
from bestiary.training.launchers import torchrun_variables

# Frozen norms: on a CPU, norms that learn see each rank's part of a batch, which is another
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


def train_command(beasts: Path, tiny: Path, run: Path, folds: int, *more: str) -> list[str]:
    """The words of `bestiary train`, with the options last."""
    words = ["train", str(beasts), str(run), "--recipe", str(tiny), "--folds", str(folds)]
    return [*words, *more, "--set", *OPTIONS]


@pytest.fixture(scope="module")
def train_alone(
    beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Run]:
    """Gives the run with this number of folds that one process trains, once.

    Two folds train on 13 or 14 images, of which batches of four leave one or two; three folds train
    on 18.
    """

    @cache
    def train(folds: int) -> Run:
        run = tmp_path_factory.mktemp("alone") / "run"
        return bestiary.train(beasts, run, recipe=tiny, overrides=OPTIONS, folds=folds, quiet=True)

    return train


def check_same(run: Run, reference: Run, folds: Sequence[int] = ()) -> None:
    """Check these folds, or all of them."""
    assert run.read_table("folds.parquet").equals(reference.read_table("folds.parquet"))
    for fold in folds or reference.fold_numbers():
        history = pl.read_csv(run.fold(fold).history)
        expected_history = pl.read_csv(reference.fold(fold).history)
        for column in ("epoch", "lr", "train_loss", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(
                history[column], expected_history[column], rtol=1e-4, err_msg=column
            )
        table = read_oof(run.fold(fold))[0]
        expected = read_oof(reference.fold(fold))[0]
        assert table["path"].to_list() == expected["path"].to_list()
        np.testing.assert_allclose(
            table["logits"].to_numpy(), expected["logits"].to_numpy(), atol=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("folds", [2, 3])
def test_two_processes_train_what_one_trains(
    folds: int,
    train_alone: Callable[[int], Run],
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        overrides=OPTIONS,
        folds=folds,
        processes=2,
        checkpoint_every="never",
    )
    printed = capfd.readouterr().err
    assert "shared by 2 processes" in printed
    assert printed.count("fold 0 (1/") == 2, "each epoch is reported once"
    assert "Warning" not in printed
    check_same(run, train_alone(folds))


@pytest.mark.slow
def test_balanced_epochs_in_two_processes(uneven_beasts: Path, tiny: Path, tmp_path: Path) -> None:
    """Epochs have the same images, repeated alike.

    Of class weights, `test_ranks_share_a_weighted_batch` shows the same.
    """
    runs = [
        bestiary.train(
            uneven_beasts,
            tmp_path / f"run-{processes}",
            recipe=tiny,
            overrides=[*OPTIONS, "data.sampler=balanced"],
            folds=3,
            only_fold=[0],
            processes=processes,
            checkpoint_every="never",
            quiet=True,
        )
        for processes in (1, 2)
    ]
    check_same(*runs, folds=[0])


@pytest.mark.slow
def test_torchrun_resumed_by_one_process(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    """Two processes are stopped by a signal after some epochs; one process trains to the end."""
    epochs = ["train.epochs=20", "train.keep_best=false"]
    command = train_command(beasts, tiny, tmp_path / "run", 2, "--only-fold", "0")
    printed = ""
    with subprocess.Popen(
        [*TORCHRUN, *command, *epochs], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            printed += line
            if "epoch 2/20" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode != 0
    assert printed.count("To go on: bestiary train") == 1, printed
    assert Run(tmp_path / "run").fold(0).state.exists()

    resumed = bestiary.train(beasts, tmp_path / "run", only_fold=[0], resume=True, quiet=True)
    reference = bestiary.train(
        beasts,
        tmp_path / "reference",
        recipe=tiny,
        overrides=[*OPTIONS, *epochs],
        folds=2,
        only_fold=[0],
        quiet=True,
    )
    losses, expected = (
        pl.read_csv(run.fold(0).history)["train_loss"].to_numpy() for run in (resumed, reference)
    )
    assert len(losses) == len(expected) == 20
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


@pytest.mark.slow
def test_accelerate_launch(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    free_port: Callable[[], int],
    train_alone: Callable[[int], Run],
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
    command = train_command(beasts, tiny, tmp_path / "run", 2)
    done = subprocess.run([*launch, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "shared by 2 processes" in done.stderr
    assert done.stdout.count("Out-of-fold accuracy") == 1, "one rank alone shows the result"
    assert done.stdout.count("What next") == 1
    check_same(Run(tmp_path / "run"), train_alone(2))


@pytest.mark.slow
def test_failure_of_one_rank_is_one_line(
    beasts: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An image is gone when the second fold begins; only the processes that read it find out."""
    data = shutil.copytree(beasts, tmp_path / "data")
    run = tmp_path / "run"
    begin = ["train", str(data), str(run), "--recipe", str(tiny), "--folds", "2", "--quiet"]
    assert main([*begin, "--only-fold", "0", "--set", *OPTIONS]) == 0
    next(data.rglob("*.jpg")).unlink()
    capfd.readouterr()
    resume = ["train", str(data), str(run), "--resume", "--quiet", "--processes", "2"]
    assert main(resume) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "images are gone" in printed.err.splitlines()[-1]
    assert printed.err.splitlines()[-1].startswith("bestiary: ")
    assert "Traceback" not in printed.err
    assert printed.err.count("images are gone") == 1


def command_of(process: psutil.Process) -> list[str]:
    """Words of a process's command; none where it ends while it is asked (a zombie has none)."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_rank_ends_the_others(
    beasts: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    more = ["--quiet", "--only-fold", "0", "--processes", "2"]
    words = [
        *train_command(beasts, tiny, run, 2, *more),
        "train.epochs=100000",
        "train.compile=never",
        "train.threads=1",
        "train.layout=contiguous",
    ]
    killed = []
    ended = threading.Event()

    def kill() -> None:
        while not (Run(run).fold(0).history.exists() or ended.wait(0.05)):
            pass
        ranks = [
            process
            for process in psutil.Process().children(recursive=True)
            if "bestiary.training.launch" in command_of(process)
        ]
        killed.append(len(ranks))
        max(ranks, key=lambda process: process.pid).kill()

    thread = threading.Thread(target=kill)
    thread.start()
    status = main(words)
    ended.set()
    thread.join()
    assert status == 2
    assert killed == [2]
    last_line = capfd.readouterr().err.splitlines()[-1]
    assert last_line.startswith("bestiary: process 1 of the training has ended by signal 9")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("mixed", [False, True])
def test_rank_batches_cover_the_batch(count: int, size: int, mixed: bool) -> None:
    rows = np.arange(10, 10 + count)
    parts = [rank_batch(rows, rank, size, mixed=mixed) for rank in range(size)]
    own_rows = [part.rows[part.n_partners :] for part in parts]
    counted = [own for own, part in zip(own_rows, parts, strict=True) if part.weight]
    assert np.concatenate(counted).tolist() == rows.tolist()
    assert sum(part.weight for part in parts) == pytest.approx(size)
    for own, part in zip(own_rows, parts, strict=True):
        assert len(own) >= min(2, count)
        if part.weight:
            assert part.weight == pytest.approx(size * len(own) / count)
        if part.n_partners:
            partner = np.roll(rows, 1)[rows.tolist().index(own[0])]
            assert part.rows[0] == partner
        elif mixed:
            assert len(own) == count, "all mixing partners are there"


def test_on_main_returns_and_raises() -> None:
    def fail() -> None:
        raise DataError("gone")

    assert SINGLE_PROCESS.on_main(lambda: 3) == 3
    with pytest.raises(DataError, match="gone"):
        SINGLE_PROCESS.on_main(fail)


def test_slurm_step_is_a_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert torchrun_variables(step) == {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "node7",
        "MASTER_PORT": "21234",
    }
    assert torchrun_variables({**step, "RANK": "0"}) == {}, "torchrun under srun has set the ranks"
    assert torchrun_variables({"SLURM_JOB_ID": "1"}) == {}, "a batch script is no step"
    assert init_world({}).size == 1


def test_mpi_processes_are_a_world() -> None:
    ranks = {
        "OMPI_COMM_WORLD_RANK": "3",
        "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    }
    with pytest.raises(ArgumentError, match="MASTER_ADDR: is not set, and 4 processes"):
        torchrun_variables(ranks)
    expected = {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "node7",
        "MASTER_PORT": "29500",
    }
    assert torchrun_variables({**ranks, "MASTER_ADDR": "node7"}) == expected
    hydra = {
        "PMI_RANK": "1",
        "PMI_SIZE": "2",
        "MPI_LOCALRANKID": "1",
        "MPI_LOCALNRANKS": "2",
    }
    assert torchrun_variables(hydra)["MASTER_ADDR"] == "127.0.0.1", "one machine"
    assert torchrun_variables({"PMI_RANK": "0", "PMI_SIZE": "1"}) == {}


def test_zero_processes_are_refused(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert "--processes 0" in fails("train", beasts, tmp_path / "run", "--processes", "0")
