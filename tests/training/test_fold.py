"""Short memory, numbers that are not finite, a loader that hangs: what is done, and that it is
said.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import bestiary
from bestiary.data import workers
from bestiary.data.loader import Threads, load_batches, split_batches
from bestiary.errors import DataError
from bestiary.run.run import Run
from bestiary.training import checkpointer as checkpointer
from bestiary.training import loop
from bestiary.training.distributed import SINGLE_PROCESS
from bestiary.training.non_finite import NonFiniteDiagnosis, NotFiniteError
from bestiary.training.out_of_memory import is_out_of_memory
from bestiary.training.step import backward

OPTIONS = ["train.epochs=2", "train.batch_size=8"]


def session_of(network: nn.Module, parts: int) -> SimpleNamespace:
    """What `backward` needs of a session."""
    return SimpleNamespace(
        network=network,
        classifier=SimpleNamespace(network=network),
        progress=SimpleNamespace(parts=parts, epochs_done=0, step=0),
        arithmetic=SimpleNamespace(memory_format=torch.contiguous_format, precision="float32"),
        accelerator=SimpleNamespace(backward=lambda loss: loss.backward(), no_sync=nullcontext),
        world=SINGLE_PROCESS,
    )


@pytest.mark.parametrize("parts", [2, 3, 4, 100])
def test_gradients_of_parts_add_up_to_the_whole_batches(parts: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )
    images, targets = torch.randn(9, 3, 8, 8), torch.randn(9, 5).softmax(dim=1)
    found = []
    for count in (1, parts):
        network.zero_grad()
        loss = backward(
            session_of(network, count), functional.cross_entropy, images, targets, 0.1, watched=True
        )  # type: ignore[arg-type]
        found.append([loss, *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    assert len(found[0]) == 7
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_no_part_has_a_single_image() -> None:
    seen: list[int] = []

    class Network(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return super().forward(images.flatten(1))

    network = Network(12, 2)
    backward(
        session_of(network, 4),  # type: ignore[arg-type]
        functional.cross_entropy,
        torch.randn(7, 3, 2, 2),
        torch.eye(2)[[0, 1, 0, 1, 0, 1, 0]],
        0.1,
        watched=False,
    )
    assert sorted(seen) == [2, 2, 3]


def test_out_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def short_of_memory(most: int) -> Callable[..., torch.Tensor]:
    """A loss that has memory for `most` images at a time."""

    def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(logits) > most and logits.requires_grad:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return functional.cross_entropy(logits, targets)

    return loss_of


def train(beasts: Path, tiny: Path, run: Path, *more: str) -> Run:
    return bestiary.train(
        beasts, run, recipe=tiny, overrides=[*OPTIONS, *more], folds=2, only_fold=[0], quiet=True
    )


def test_short_memory_halves_the_batch_and_keeps_the_results(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [
        "train.precision=float32",
        "model.freeze_norms=true",
    ]  # without batch statistics, parts change nothing
    plain = train(beasts, tiny, tmp_path / "plain", *options)
    capsys.readouterr()
    monkeypatch.setattr(loop, "build_loss", lambda *_: short_of_memory(3))
    halved = train(beasts, tiny, tmp_path / "halved", *options)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("out of memory") == 2 and "in 4 parts, gradients added up" in told
    one, other = (run.fold(0).history.read_text().splitlines() for run in (plain, halved))
    losses = [[float(line.split(",")[2]) for line in lines[1:]] for lines in (one, other)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_memory_that_does_not_suffice_for_two_images_is_one_line(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[..., str],
) -> None:
    monkeypatch.setattr(loop, "build_loss", lambda *_: short_of_memory(1))
    line = fails(
        "train",
        beasts,
        tmp_path / "run",
        "--recipe",
        tiny,
        "--folds",
        2,
        "--set",
        "train.batch_size=8",
    )
    assert "out of memory even with 2 images at a time" in line


def test_a_loss_that_fails_by_chance_is_gone_back_from_once(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = train(beasts, tiny, tmp_path / "plain")
    capsys.readouterr()
    steps = iter(range(100))
    whole = loop.backward

    def fails_once(*arguments: object, **more: object) -> torch.Tensor:
        loss = whole(*arguments, **more)  # type: ignore[arg-type]
        return loss * float("nan") if next(steps) == 3 else loss

    monkeypatch.setattr(loop, "backward", fails_once)
    run = train(beasts, tiny, tmp_path / "run")
    assert run.fold(0).weights.read_bytes() == plain.fold(0).weights.read_bytes()
    assert "goes back to its last good state, once" in " ".join(capsys.readouterr().err.split())


def test_a_learning_rate_that_is_too_high_is_diagnosed(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    options = [
        "train.epochs=3",
        "train.batch_size=4",
        "optimizer.lr=1e38",
        "optimizer.weight_decay=0",
    ]
    line = fails(
        "train", beasts, tmp_path / "run", "--recipe", tiny, "--folds", 2, "--set", *options
    )
    assert (
        "the loss is not finite in epoch 1, step" in line
        and "the learning rate 9.83e+37 is too high" in line
    )
    assert not Run(tmp_path / "run").fold(0).state.exists()  # nothing bad was kept


class Overflows(nn.Linear):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.flatten(1)).float() * 1e30


@pytest.mark.parametrize(
    ("images", "weight", "precision", "cause"),
    [
        (float("inf"), 1.0, "float32", "the network's input is not finite"),
        (1.0, float("nan"), "float32", "the step before made the weights infinite"),
        (1.0, 1e10, "float32", "the weights have grown"),
        (1.0, 1.0, "fp16", "fp16 overflows where float32 does not"),
    ],
)
def test_the_cause_is_looked_for(images: float, weight: float, precision: str, cause: str) -> None:
    network = Overflows(12, 2) if weight == 1e10 else nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        next(network.parameters()).fill_(weight)
    targets = torch.eye(2)
    suspect = NonFiniteDiagnosis(
        network, torch.full((2, 3, 2, 2), images), targets, functional.cross_entropy, precision, 0.1
    )  # type: ignore[arg-type]
    assert suspect.diagnosis().startswith(cause)


def test_weights_that_are_not_finite_are_never_kept() -> None:
    network = nn.BatchNorm1d(3)
    checkpointer.check_weights(network)
    assert isinstance(network.running_var, torch.Tensor)
    network.running_var[1] = float("inf")
    with pytest.raises(NotFiniteError, match="weight"):
        checkpointer.check_weights(network)


@pytest.mark.parametrize("threads", [Threads(1, True), Threads(2, False)])
def test_a_loader_that_hangs_is_noticed_and_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, threads: Threads
) -> None:
    monkeypatch.setattr(workers, "STALL_SECONDS", 0.2)
    gone = threading.Event()

    def view_of(row: int) -> np.ndarray:  # type: ignore[type-arg]
        if row == 9:
            gone.wait(30)  # a read that does not return
        return np.zeros((2, 2, 3), np.uint8)

    seen = []
    with pytest.raises(DataError, match="a disk that holds them may be gone"):
        for batch in load_batches(split_batches(np.arange(20), 4), view_of, threads):
            seen += batch.rows.tolist()
    assert seen == list(range(8))
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("bestiary-loader"))
    gone.set()
