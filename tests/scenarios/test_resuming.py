"""Resume: a fold that is killed, interrupted or damaged at any step ends in the same bits."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import bestiary
from bestiary.cli import main
from bestiary.display import Display
from bestiary.errors import BestiaryError, DataError, Interrupted, RunError
from bestiary.model import classifier
from bestiary.model.backbone import Backbone
from bestiary.run.run import Run
from bestiary.signals import Interrupts
from bestiary.training import checkpointer, loop, request
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import train_folds
from bestiary.training.request import begin_or_resume
from bestiary.training.state import FoldState

OPTIONS = [
    "model.backbone=timm/test_resnet",  # dense convolutions: the layout of the moments matters
    "train.epochs=2",
    "train.batch_size=4",  # four steps an epoch, of 14 images
    "mix.probability=1.0",
    "train.ema=0.9",
    "train.wise_ft=0.25",
    "train.keep_best=false",
    "train.precision=float32",
]
NEVER = float("inf")

Hook = Callable[[FoldState], None]


@pytest.fixture(autouse=True)
def _sigint_as_in_a_terminal() -> Iterator[None]:
    """A shell ignores Ctrl-C for what it runs in the background, and bestiary respects that."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


class KilledError(Exception):
    """Stands for SIGKILL: bestiary does not handle it."""


def kill() -> None:
    raise KilledError


def at_step(number: int, action: Callable[[], object]) -> Hook:
    """Create a hook that acts in step `number`, from 1 over the epochs of one call."""
    steps = count(1)

    def hook(_: FoldState) -> None:
        if next(steps) == number:
            action()

    return hook


def train_first_fold(
    data: Path,
    run: Path,
    recipe: Path | None = None,
    overrides: tuple[str, ...] = (),
    *,
    every_step: bool = False,
    on_step: Hook | None = None,
) -> Run:
    """Begin a run with a recipe, or resume it without; train fold 0 with a hook in each step."""
    display = Display(quiet=True)
    resumes = recipe is None
    folds = None if resumes else 2
    options = {"time_share": NEVER} if every_step else {}
    with Interrupts() as interrupts:
        begun = begin_or_resume(data, run, recipe, overrides, folds, [0], resumes, display)
        seconds = 1e-6 if every_step else NEVER
        saving = Checkpointer(seconds, interrupts, on_step=on_step, **options)
        train_folds(begun, [0], saving, display)
    return begun


def begin(
    data: Path,
    tiny: Path,
    run: Path,
    *overrides: str,
    every_step: bool = False,
    on_step: Hook | None = None,
) -> Run:
    options = (*OPTIONS, *overrides)
    return train_first_fold(data, run, tiny, options, every_step=every_step, on_step=on_step)


def resume(data: Path, run: Path, on_step: Hook | None = None) -> dict[str, bytes]:
    return results(train_first_fold(data, run, on_step=on_step))


def train_all(beasts: Path, tiny: Path, run: Path) -> Run:
    return bestiary.train(
        beasts, run, recipe=tiny, overrides=OPTIONS, folds=2, only_fold=[0], quiet=True
    )


def results(run: Run) -> dict[str, bytes]:
    """Weights, logits and history of fold 0; the history without speed and time."""
    files = run.fold(0)
    lines = files.history.read_text().splitlines()
    history = "\n".join(line.rsplit(",", 2)[0] for line in lines)
    return {
        "weights": files.weights.read_bytes(),
        "oof": files.oof.read_bytes(),
        "history": history.encode(),
    }


@pytest.fixture(scope="module")
def uninterrupted(
    beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Results of fold 0 when nothing happens."""
    return results(train_all(beasts, tiny, tmp_path_factory.mktemp("uninterrupted") / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 4, 5, 8])
def test_resume_after_kill_in_any_step(
    beasts: Path, tiny: Path, uninterrupted: dict[str, bytes], tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"
    with pytest.raises(KilledError):
        begin(beasts, tiny, run, every_step=True, on_step=at_step(step, kill))
    assert Run(run).fold(0).state.exists() == (step > 1)
    assert resume(beasts, run) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [["state"], ["previous_state"], ["state", "previous_state"]])
def test_resume_from_damaged_checkpoint(
    beasts: Path,
    tiny: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damaged: list[str],
) -> None:
    run = tmp_path / "run"
    with pytest.raises(KilledError):
        begin(beasts, tiny, run, every_step=True, on_step=at_step(6, kill))
    files = Run(run).fold(0)
    for name in damaged:
        file: Path = getattr(files, name)
        content = bytearray(file.read_bytes())
        content[-100] ^= 1  # one bit of a tensor: safetensors itself would not notice
        file.write_bytes(content)
    capsys.readouterr()
    assert resume(beasts, run) == uninterrupted
    notices = " ".join(capsys.readouterr().err.split())
    expected = len(damaged) if "state" in damaged else 0
    assert notices.count("its checksum does not hold") == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_checkpoint_after_step(
    beasts: Path,
    tiny: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    run = str(tmp_path / "my run")
    handler = signal.getsignal(number)
    command = ["train", str(beasts), run, "--recipe", str(tiny), "--folds", "2"]
    command += ["--only-fold", "0", "--quiet", "--set", *OPTIONS]
    send = at_step(5, lambda: os.kill(os.getpid(), number))
    backward = loop.backward

    def signaled_backward(state: FoldState, *rest: Any, **options: Any) -> torch.Tensor:
        """The signal comes in the middle of a step, before the optimizer has moved a weight."""
        send(state)
        return backward(state, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", signaled_backward)
        assert main(command) == 128 + number
    assert signal.getsignal(number) == handler
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    assert " ".join(printed.split()).endswith(
        f"Interrupted. To go on: bestiary train {beasts} '{run}' --only-fold 0 --resume"
    )
    # Three of the eight steps are left.
    assert resume(beasts, Path(run), on_step=at_step(4, kill)) == uninterrupted


@pytest.mark.slow
def test_interrupt_while_scoring_loses_no_step(
    beasts: Path,
    tiny: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "score_held_out", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            begin(beasts, tiny, tmp_path / "run")
    assert resume(beasts, tmp_path / "run", on_step=at_step(5, kill)) == uninterrupted


@pytest.mark.parametrize(("duration", "seconds"), [("90s", 90.0), ("never", NEVER)])
def test_checkpoint_every_reaches_the_checkpointer(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    duration: str,
    seconds: float,
) -> None:
    asked = []

    def record(every: float, *_: object) -> Checkpointer:
        asked.append(every)
        raise KilledError

    monkeypatch.setattr(checkpointer, "Checkpointer", record)
    with pytest.raises(KilledError):
        bestiary.train(
            beasts, tmp_path / "run", recipe=tiny, checkpoint_every=duration, folds=2, quiet=True
        )
    assert asked == [seconds]


def test_second_signal_does_not_wait() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted), interrupts.defer():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the block went on")
        assert interrupts.torn


def test_interrupt_before_run_is_begun(
    beasts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(request, "begin_run", stop)
    assert main(["train", str(beasts), str(tmp_path / "run"), "--quiet"]) == 130
    assert "same command again" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_vanished_images_leave_a_checkpoint(
    beasts: Path, tiny: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    away = tmp_path / "away"
    data = shutil.copytree(beasts, tmp_path / "data")
    # Step 4 is the last of an epoch: the held-out part is read next.
    vanish = at_step(4, lambda: data.rename(away))
    with pytest.raises(DataError, match="cannot be read"):
        begin(data, tiny, run, "data.store=false", on_step=vanish)
    with pytest.raises(DataError, match="are gone"):
        bestiary.train(data, run, only_fold=[0], resume=True, quiet=True)
    away.rename(data)
    assert resume(data, run, on_step=at_step(5, kill)) == uninterrupted


@pytest.mark.slow
def test_full_disk_keeps_last_checkpoint(
    beasts: Path,
    tiny: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    run = tmp_path / "run"
    message = r"state.safetensors: cannot be written \(No space left on device\)"
    with monkeypatch.context() as patch:
        fill_disk = at_step(5, lambda: patch.setattr(os, "fsync", fsync))
        with pytest.raises(BestiaryError, match=message):
            begin(beasts, tiny, run, every_step=True, on_step=fill_disk)
    assert resume(beasts, run, on_step=at_step(5, kill)) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights", "oof"])
def test_damaged_fold_is_computed_again(
    beasts: Path,
    tiny: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    run = tmp_path / "run"
    files = train_all(beasts, tiny, run).fold(0)
    file: Path = getattr(files, name)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(RunError, match=file.name):
        bestiary.train(beasts, run, only_fold=[1], resume=True, quiet=True)
    resumed = bestiary.train(beasts, run, only_fold=[0], resume=True, quiet=True)
    assert results(resumed) == uninterrupted
    assert "computed again" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_changed_recipe_is_refused(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = begin(beasts, tiny, tmp_path / "run")
    recipe = run.file("recipe.toml")
    recipe.write_text(recipe.read_text().replace("epochs = 2", "epochs = 3"))
    line = fails("train", beasts, run.path, "--resume")
    assert "recipe.toml: has changed since the run was begun" in line
    sums = run.file("SHA256SUMS")
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "recipe" not in line))
    assert run.read_recipe().train.epochs == 3


@pytest.mark.slow
def test_leftovers_of_a_crash_are_removed(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    run = begin(beasts, tiny, tmp_path / "run")
    run.fold(0).oof.unlink()
    leftover = run.fold(0).folder / "last" / ".state.safetensors.abc.tmp"
    leftover.write_bytes(b"half")
    resume(beasts, run.path)
    assert not leftover.exists()


@pytest.mark.slow
def test_resume_with_other_images_is_refused(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = begin(beasts, tiny, tmp_path / "run")
    (tmp_path / "other").mkdir()
    line = fails("train", tmp_path / "other", run.path, "--resume")
    assert f"add --set data.root={beasts}" in line


@pytest.mark.slow
def test_resumed_fold_remembers_its_pretrained_weights(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their origin, and how they expect small images to be enlarged, are in the member's file."""
    build = classifier.build_backbone

    def build_bicubic(name: str, classes: int, weights: str) -> Backbone:
        backbone = build(name, classes, weights)
        return backbone if weights == "none" else replace(backbone, interpolation="bicubic")

    monkeypatch.setattr(classifier, "build_backbone", build_bicubic)
    weights = tmp_path / "mine.safetensors"
    save_file(build("timm/test_resnet", 5, "none").network.state_dict(), weights)
    option = f"model.weights={weights}"

    whole = results(begin(beasts, tiny, tmp_path / "whole", option))
    with pytest.raises(KilledError):
        begin(beasts, tiny, tmp_path / "run", option, every_step=True, on_step=at_step(5, kill))
    assert resume(beasts, tmp_path / "run") == whole
    member = classifier.load_member(Run(tmp_path / "run").fold(0).weights)
    assert member.origin == "file mine.safetensors"
    assert member.interpolation == "bicubic"


def test_a_changed_image_stops_a_resumed_run(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    """Without the stored pixels, what is decoded now must be what the manifest says."""
    data = tmp_path / "data"
    shutil.copytree(beasts, data)
    run = tmp_path / "run"
    with pytest.raises(KilledError):
        begin(data, tiny, run, "data.store=false", every_step=True, on_step=at_step(3, kill))
    images = sorted(data.rglob("*.jpg"))
    content = images[0].read_bytes()
    for image in images[1:]:
        image.write_bytes(content)
    line = fails("train", data, run, "--resume", "--only-fold", 0)
    assert "its bytes have changed, since the run began" in line and "--resume" in line
