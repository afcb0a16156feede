"""A disk that is really full: each writer and verb ends in one line, and what was there stays.

On a small file system of its own where the test may mount one, else under a limit of file sizes.
"""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

import bestiary
from bestiary.atomic import atomic_path
from bestiary.cli import main
from bestiary.errors import BestiaryError
from bestiary.run.run import Run

DISK_BYTES = 1 << 20
FULL = "No space left on device"
OPTIONS = ["model.backbone=timm/test_resnet", "train.precision=float32"]

Verb = Callable[..., tuple[int, str]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_safetensors(file: Path) -> None:
    save_file({"a": torch.zeros(1_000_000)}, file)


def write_openvino(file: Path) -> None:
    openvino = pytest.importorskip("openvino")
    layer = torch.nn.Linear(1000, 1000)
    graph = openvino.convert_model(layer, example_input=torch.zeros(1, 1000))
    openvino.save_model(graph, file.with_suffix(".xml"), compress_to_fp16=False)


def random_table() -> pl.DataFrame:
    return pl.DataFrame({"a": np.random.default_rng(0).random(400_000)})


WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda file: file.write_bytes(bytes(3_000_000)),
    "safetensors": write_safetensors,
    "parquet": lambda file: random_table().write_parquet(file),
    "parquet, streamed": lambda file: random_table().lazy().sink_parquet(file),
    "csv": lambda file: random_table().write_csv(file),
    "csv, streamed": lambda file: random_table().lazy().sink_csv(file),
    "openvino": write_openvino,
    "torch": lambda file: torch.save(torch.zeros(1_000_000), file),
}


@pytest.mark.filterwarnings("ignore")  # OpenVINO traces
@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_names_the_full_disk(name: str, disk: Path) -> None:
    goal = disk / "goal"
    goal.write_bytes(b"before")
    with (
        pytest.raises(BestiaryError, match="goal: cannot be written") as caught,
        atomic_path(goal) as temporary,
    ):
        WRITERS[name](temporary)
    # OpenVINO's streams do not say why.
    assert FULL in str(caught.value) or name == "openvino"
    assert "\n" not in str(caught.value)
    assert goal.read_bytes() == b"before"


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "openvino"])
def test_every_writer_names_a_file_that_is_too_large(name: str, tmp_path: Path) -> None:
    goal = tmp_path / "goal"
    goal.write_bytes(b"before")
    with (
        file_size_limit(100_000),
        pytest.raises(BestiaryError, match="goal: cannot be written"),
        atomic_path(goal) as temporary,
    ):
        WRITERS[name](temporary)
    assert goal.read_bytes() == b"before"


def test_errors_of_another_cause_stay_as_they_are(tmp_path: Path) -> None:
    for error in (ValueError("no number"), RuntimeError("shapes differ"), OSError("odd")):
        with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "goal"):
            raise error
        assert caught.value is error


@pytest.fixture
def run_verb(capfd: pytest.CaptureFixture[str]) -> Verb:
    """Runs a command in this process: exit status, and all of its standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        capfd.readouterr()
        status = main([*map(str, arguments)])
        return status, capfd.readouterr().err

    return run


def run_process(*arguments: object) -> tuple[int, str]:
    """Runs a command as a process: what its threads and its end print belongs to it."""
    done = subprocess.run(
        [sys.executable, "-m", "bestiary", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def fill(disk: Path) -> Path:
    """Leave no room on a disk."""
    file = disk / "filler"
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    return file


def assert_one_line(done: tuple[int, str]) -> None:
    code, text = done
    lines = [line for line in text.splitlines() if line.startswith("bestiary: ")]
    assert code == 2 and "Traceback" not in text, text
    assert len(lines) == 1 and "cannot be written" in lines[0], text


@pytest.mark.slow
def test_every_verb_that_writes_gives_one_line(
    trained: Run, beasts: Path, tiny: Path, disk: Path, run_verb: Verb
) -> None:
    fill(disk)
    out = disk / "out"
    commands = [
        ["predict", trained.path, beasts, "--out", out.with_suffix(".csv")],
        ["scan", beasts, "--out", out],
        ["shard", beasts, out],
        # One member is as good as three here, and its graph is made three times as fast.
        ["export", trained.path, out.with_suffix(".onnx"), "--prune", 1],
        ["export", trained.path, out.with_suffix(".pt2"), "--format", "torch", "--prune", 1],
        ["train", beasts, disk / "run", "--recipe", tiny, "--folds", 2],
    ]
    for command in commands:
        assert_one_line(run_verb(*command))


@pytest.mark.slow
def test_verbs_that_write_into_their_run_give_one_line(
    trained: Run, tmp_path: Path, disk: Path, run_verb: Verb
) -> None:
    subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
    run = disk / "run"
    shutil.copytree(trained.path, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    filler = fill(disk)
    for verb in (["report"], ["report", "--format", "md"], ["labels"]):
        assert_one_line(run_verb(verb[0], run, *verb[1:]))
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert before.items() <= after.items()
    filler.unlink()
    assert run_verb("report", run)[0] == 0


@pytest.fixture(scope="module")
def whole(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that had room all the time."""
    run = tmp_path_factory.mktemp("whole") / "run"
    return bestiary.train(beasts, run, recipe=tiny, overrides=OPTIONS, folds=2, quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [1, 5])
def test_training_goes_on_to_the_same_bits_once_there_is_room(
    beasts: Path, tiny: Path, disk: Path, megabytes: int, whole: Run, run_verb: Verb
) -> None:
    """Wherever the disk fills up: manifest, checkpoint, weights."""
    asked = ["--recipe", tiny, "--folds", 2, "--quiet", "--set", *OPTIONS]
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(disk)], check=True)
    run = disk / "run"
    assert_one_line(run_process("train", beasts, run, *asked))
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    resumed = ["--resume", "--quiet"] if Run(run).exists else asked
    assert run_verb("train", beasts, run, *resumed) == (0, "")

    for fold in (0, 1):
        for name in ("weights", "oof"):
            file = getattr(whole.fold(fold), name)
            assert file.read_bytes() == getattr(Run(run).fold(fold), name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_cache_that_takes_nothing_stops_no_training(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    disk: Path,
    state: str,
    whole: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(disk))
    if state == "full":
        fill(disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro,size=200m", str(disk)], check=True)
    run = tmp_path / "run"
    asked = ["--recipe", tiny, "--folds", 2, "--quiet", "--set", *OPTIONS]
    code, said = run_process("train", beasts, run, *asked)
    assert code == 0, said
    assert said.count("BESTIARY_CACHE names another folder") in (1, 2), said  # infos, images
    for fold in (0, 1):
        assert Run(run).fold(fold).weights.read_bytes() == whole.fold(fold).weights.read_bytes()
