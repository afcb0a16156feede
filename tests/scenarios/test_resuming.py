"""A fold that is stopped, killed or set back anywhere ends in the same bits as one that ran
through.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import bestiary
from bestiary.api.durations import parse_duration
from bestiary.cli import main
from bestiary.display import TrainingDisplay
from bestiary.errors import ArgumentError, BestiaryError, DataError, Interrupted, RunError
from bestiary.run.run import Run
from bestiary.signals import Interrupts
from bestiary.training import checkpointer as keeping
from bestiary.training import loop

# dense convolutions, so that the optimizer's state has tensors whose layout matters; dropout, so
# that draws do; a moving average of the weights, which is a second network to keep; a share of the
# start, which is a third
OPTIONS = [
    "model.backbone=timm/test_resnet",
    "train.epochs=2",
    "train.batch_size=4",
    "mix.probability=1.0",
    "train.ema=0.9",
    "train.wise_ft=0.25",
    "train.keep_best=false",
    "train.precision=float32",
]


@pytest.fixture(autouse=True)
def _heeding_signals() -> Iterator[None]:
    """As in a terminal: a shell starts what it puts in the background with Ctrl-C ignored, which
    bestiary respects.
    """
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


class KilledError(Exception):
    """Stands for SIGKILL: nothing of bestiary's handles it."""


@pytest.fixture(scope="module")
def whole(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What fold 0 holds in the end when nothing happens."""
    run = tmp_path_factory.mktemp("whole") / "run"
    return results(
        bestiary.train(
            beasts, run, recipe=tiny, overrides=OPTIONS, folds=2, only_fold=[0], quiet=True
        )
    )


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state after every step."""
    monkeypatch.setattr(keeping, "MOST", float("inf"))


def results(run: Run) -> dict[str, bytes]:
    files = run.fold(0)
    lines = files.history.read_text().splitlines()
    history = "\n".join(line.rsplit(",", 2)[0] for line in lines)  # but for speed and time
    return {
        "weights": files.weights.read_bytes(),
        "oof": files.oof.read_bytes(),
        "history": history.encode(),
    }


def begin(beasts: Path, tiny: Path, run: Path, every: str = "0.000001s", *more: str) -> Run:
    overrides = [*OPTIONS, *more]
    return bestiary.train(
        beasts,
        run,
        recipe=tiny,
        overrides=overrides,
        folds=2,
        only_fold=[0],
        checkpoint_every=every,
        quiet=True,
    )


def go_on(beasts: Path, run: Path) -> dict[str, bytes]:
    return results(bestiary.train(beasts, run, only_fold=[0], resume=True, quiet=True))


def in_step(number: int, act: Callable[[], object]) -> Callable[..., torch.Tensor]:
    """`backward`, but before step `number` (from 1, over all epochs) something happens."""
    steps = iter(range(1, 1000))
    backward = loop.backward

    def acting(*arguments: object, **more: object) -> torch.Tensor:
        if next(steps) == number:
            act()
        return backward(*arguments, **more)  # type: ignore[arg-type]

    return acting


def kill() -> None:
    raise KilledError


@pytest.mark.parametrize("step", [1, 2, 4, 5, 8])  # four steps an epoch: 14 images, four a step
def test_killed_in_any_step_and_resumed(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    every_step: None,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", in_step(step, kill))
        with pytest.raises(KilledError):
            begin(beasts, tiny, tmp_path / "run")
    assert Run(tmp_path / "run").fold(0).state.exists() == (step > 1)
    assert go_on(beasts, tmp_path / "run") == whole


@pytest.mark.parametrize("damaged", [["state"], ["former_state"], ["state", "former_state"]])
def test_a_damaged_state_falls_back_to_the_one_before_and_says_so(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damaged: list[str],
    every_step: None,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", in_step(6, kill))
        with pytest.raises(KilledError):
            begin(beasts, tiny, tmp_path / "run")
    files = Run(tmp_path / "run").fold(0)
    for name in damaged:
        content = bytearray(getattr(files, name).read_bytes())
        content[-100] ^= 1  # one bit of a tensor: safetensors itself would not notice
        getattr(files, name).write_bytes(content)
    capsys.readouterr()
    assert go_on(beasts, tmp_path / "run") == whole
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("its checksum does not hold") == (len(damaged) if "state" in damaged else 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_the_step_saves_and_says_how_to_go_on(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    run, former = str(tmp_path / "my run"), signal.getsignal(number)
    words = [
        "train",
        str(beasts),
        run,
        "--recipe",
        str(tiny),
        "--folds",
        "2",
        "--only-fold",
        "0",
        "--quiet",
        "--set",
        *OPTIONS,
    ]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", in_step(5, lambda: os.kill(os.getpid(), number)))
        assert main(words) == 128 + number
    assert signal.getsignal(number) == former
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert " ".join(told.split()).endswith(
        f"Interrupted. To go on: bestiary train {beasts} '{run}' --only-fold 0 --resume"
    )
    monkeypatch.setattr(loop, "backward", in_step(4, kill))  # three steps are left of the eight
    assert go_on(beasts, Path(run)) == whole


def test_a_stop_while_scoring_loses_no_step(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "score_held_out", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            begin(beasts, tiny, tmp_path / "run", "never")
    monkeypatch.setattr(loop, "backward", in_step(5, kill))
    assert go_on(beasts, tmp_path / "run") == whole


def test_a_second_signal_does_not_wait() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted), interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("held on")
        assert interrupts.torn


def test_stopping_before_the_run_is_begun_promises_nothing(
    beasts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bestiary.training import request as start

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "begin_run", stop)
    assert main(["train", str(beasts), str(tmp_path / "run"), "--quiet"]) == 130
    assert "same command again" in " ".join(capsys.readouterr().err.split())


def test_images_that_vanish_under_way_leave_a_state_to_go_on_from(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import shutil

    data, away = shutil.copytree(beasts, tmp_path / "data"), tmp_path / "away"
    steps: list[int] = []

    def step(_: TrainingDisplay, images: int) -> None:
        steps.append(images)
        if len(steps) == 4:  # an epoch's last: its held-out part is read next
            data.rename(away)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingDisplay, "step", step)
        with pytest.raises(DataError, match="cannot be read"):
            begin(data, tiny, tmp_path / "run", "never", "data.store=false")
    with pytest.raises(DataError, match="are gone"):
        bestiary.train(data, tmp_path / "run", only_fold=[0], resume=True, quiet=True)
    away.rename(data)
    monkeypatch.setattr(loop, "backward", in_step(5, kill))
    assert go_on(data, tmp_path / "run") == whole


def test_a_disk_that_fills_up_is_one_line_and_costs_what_came_after_the_last_state(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_step: None,
) -> None:
    def fill() -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", in_step(5, fill))
        with pytest.raises(
            BestiaryError, match=r"state.safetensors: cannot be written \(No space left on device\)"
        ):
            begin(beasts, tiny, tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr(loop, "backward", in_step(5, kill))
    assert go_on(beasts, tmp_path / "run") == whole


@pytest.mark.parametrize("name", ["weights", "oof"])
def test_what_an_ended_fold_left_is_made_again_where_it_is_damaged(
    beasts: Path,
    tiny: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    files = begin(beasts, tiny, tmp_path / "run").fold(0)
    file: Path = getattr(files, name)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(RunError, match=file.name):
        bestiary.train(beasts, tmp_path / "run", only_fold=[1], resume=True, quiet=True)
    assert go_on(beasts, tmp_path / "run") == whole
    assert "made again" in capsys.readouterr().err


def test_what_the_run_was_begun_with_cannot_change_unseen(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = begin(beasts, tiny, tmp_path / "run")
    recipe = run.file("recipe.toml")
    recipe.write_text(recipe.read_text().replace("epochs = 2", "epochs = 3"))
    assert "recipe.toml: is not as the run was begun with" in fails(
        "train", beasts, run.path, "--resume"
    )
    sums = run.file("SHA256SUMS")
    sums.write_text(
        "".join(line for line in sums.read_text().splitlines(True) if "recipe" not in line)
    )
    assert run.read_recipe().train.epochs == 3


def test_what_a_crash_left_half_written_is_swept_away(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    run = begin(beasts, tiny, tmp_path / "run")
    run.fold(0).oof.unlink()
    leftover = run.fold(0).folder / "last" / ".state.safetensors.abc.tmp"
    leftover.write_bytes(b"half")
    go_on(beasts, run.path)
    assert not leftover.exists()


def test_a_run_goes_on_with_the_images_it_was_begun_with(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = begin(beasts, tiny, tmp_path / "run")
    (tmp_path / "other").mkdir()
    assert f"was begun with the images in {beasts}" in fails(
        "train", tmp_path / "other", run.path, "--resume"
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5min", 300), ("1.5h", 5400), ("never", float("inf"))]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0s", "-5min", "5 weeks", "1e9s", "nan"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ArgumentError, match="checkpoint-every"):
        parse_duration(text)
