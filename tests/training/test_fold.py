"""Out of memory, non-finite losses and hanging loaders: how training recovers, and what it says."""

import gc
import threading
import weakref
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
from bestiary.data.loader import LoaderThreads, load_batches, split_batches
from bestiary.errors import DataError, RunError
from bestiary.model.halving import is_out_of_memory
from bestiary.run.layout import FoldFiles
from bestiary.run.run import Run
from bestiary.training import fold, loop
from bestiary.training.distributed import SINGLE_PROCESS
from bestiary.training.non_finite import NonFiniteDiagnosis, NotFiniteError, check_weights
from bestiary.training.out_of_memory import can_halve, count_parts, doubled_parts
from bestiary.training.step import backward
from bestiary.training.tracking.tracker import Trackers

OPTIONS = ["train.epochs=2", "train.batch_size=8"]


def state_of(network: nn.Module, parts: int) -> SimpleNamespace:
    """What `backward` needs of a fold state."""
    return SimpleNamespace(
        network=network,
        classifier=SimpleNamespace(network=network),
        progress=SimpleNamespace(parts=parts, epochs_done=0, step=0),
        compute=SimpleNamespace(memory_format=torch.contiguous_format, precision="float32"),
        accelerator=SimpleNamespace(backward=lambda loss: loss.backward(), no_sync=nullcontext),
        world=SINGLE_PROCESS,
    )


@pytest.mark.parametrize("parts", [2, 3, 4, 100])
def test_gradients_of_parts_add_up(parts: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 5),
    )
    images = torch.randn(9, 3, 8, 8)
    targets = torch.randn(9, 5).softmax(dim=1)
    results = []
    for count in (1, parts):
        network.zero_grad()
        state = state_of(network, count)
        loss = backward(
            state,  # type: ignore[arg-type]
            functional.cross_entropy,
            images,
            targets,
            0.1,
            check_loss=True,
        )
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        results.append([loss, *gradients])
    assert len(results[0]) == 7
    for whole, in_parts in zip(*results, strict=True):
        torch.testing.assert_close(whole, in_parts)


def test_no_part_has_a_single_image() -> None:
    sizes: list[int] = []

    class Network(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            sizes.append(len(images))
            return super().forward(images.flatten(1))

    backward(
        state_of(Network(12, 2), 4),  # type: ignore[arg-type]
        functional.cross_entropy,
        torch.randn(7, 3, 2, 2),
        torch.eye(2)[[0, 1, 0, 1, 0, 1, 0]],
        0.1,
        check_loss=False,
    )
    assert sorted(sizes) == [2, 2, 3]


def test_halving_stops_at_two_images() -> None:
    assert [can_halve(n_images) for n_images in (16, 5, 4, 3, 2)] == [True] * 3 + [False] * 2
    assert [count_parts(n_images, 4) for n_images in (1, 2, 7, 8, 64)] == [1, 1, 3, 4, 4]
    assert doubled_parts(0, batch_size=8, parts=2) == 4
    with pytest.raises(RunError, match="fold 3: out of memory even with 2 images at a time"):
        doubled_parts(3, batch_size=8, parts=4)


def test_out_of_memory_is_detected() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(MemoryError())
    for words in (
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ):
        assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_fold_frees_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = []

    def build(_job: object, _parts: int) -> SimpleNamespace:
        network = nn.Linear(1, 1)
        network.itself = network  # like the forward that Accelerate wraps
        networks.append(weakref.ref(network))
        return SimpleNamespace(
            network=network,
            progress=SimpleNamespace(parts=1),
            trackers=Trackers(print),
        )

    monkeypatch.setattr(fold, "build_fold_state", build)
    monkeypatch.setattr(fold, "train_fold", lambda _job, _state: None)
    job = SimpleNamespace(
        checkpointer=SimpleNamespace(poll_signals=nullcontext, start_fold=lambda _state: None),
        recipe=SimpleNamespace(train=SimpleNamespace(batch_size=8)),
        files=FoldFiles(tmp_path),
        world=SINGLE_PROCESS,
    )
    gc.disable()  # as if the collector happened not to run
    try:
        fold.train_fold_safely(job)  # type: ignore[arg-type]
    finally:
        gc.enable()
    assert len(networks) == 1
    assert networks[0]() is None


def short_of_memory(max_images: int) -> Callable[..., torch.Tensor]:
    """A loss that has memory for `max_images` at a time."""

    def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(logits) > max_images and logits.requires_grad:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return functional.cross_entropy(logits, targets)

    return loss_of


def train(beasts: Path, tiny: Path, run: Path, *overrides: str) -> Run:
    options = [*OPTIONS, *overrides]
    return bestiary.train(
        beasts, run, recipe=tiny, overrides=options, folds=2, only_fold=[0], quiet=True
    )


def train_losses(run: Run) -> list[float]:
    lines = run.fold(0).history.read_text().splitlines()
    return [float(line.split(",")[2]) for line in lines[1:]]


@pytest.mark.slow
def test_out_of_memory_halves_the_batch(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Without batch statistics, parts give the same results.
    options = ["train.precision=float32", "model.freeze_norms=true"]
    whole = train(beasts, tiny, tmp_path / "whole", *options)
    capsys.readouterr()
    monkeypatch.setattr(loop, "build_loss", lambda *_: short_of_memory(3))
    in_parts = train(beasts, tiny, tmp_path / "parts", *options)
    notices = " ".join(capsys.readouterr().err.split())
    assert notices.count("out of memory") == 2
    assert "in 4 parts, gradients added up" in notices
    np.testing.assert_allclose(train_losses(whole), train_losses(in_parts), rtol=1e-5)


def test_out_of_memory_for_two_images_is_one_line(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[..., str],
) -> None:
    monkeypatch.setattr(loop, "build_loss", lambda *_: short_of_memory(1))
    command = ["train", beasts, tmp_path / "run", "--recipe", tiny, "--folds", 2]
    line = fails(*command, "--set", "train.batch_size=8")
    assert "out of memory even with 2 images at a time" in line


@pytest.mark.slow
def test_non_finite_loss_by_chance_is_retried(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = train(beasts, tiny, tmp_path / "reference")
    capsys.readouterr()
    steps = iter(range(100))
    real_backward = loop.backward

    def fails_once(*arguments: object, **options: object) -> torch.Tensor:
        loss = real_backward(*arguments, **options)  # type: ignore[arg-type]
        return loss * float("nan") if next(steps) == 3 else loss

    monkeypatch.setattr(loop, "backward", fails_once)
    run = train(beasts, tiny, tmp_path / "run")
    assert run.fold(0).weights.read_bytes() == reference.fold(0).weights.read_bytes()
    notices = " ".join(capsys.readouterr().err.split())
    assert "returns to its last good checkpoint, once" in notices


def test_too_high_learning_rate_is_diagnosed(
    beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    options = [
        "train.epochs=3",
        "train.batch_size=4",
        "optimizer.lr=1e38",
        "optimizer.weight_decay=0",
    ]
    command = ["train", beasts, tmp_path / "run", "--recipe", tiny, "--folds", 2]
    line = fails(*command, "--set", *options)
    assert "the loss is not finite in epoch 1, step" in line
    assert "the learning rate 9.83e+37 is too high" in line
    assert not Run(tmp_path / "run").fold(0).state.exists()  # a bad state is not saved


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
def test_non_finite_diagnosis(images: float, weight: float, precision: str, cause: str) -> None:
    network = Overflows(12, 2) if weight == 1e10 else nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        next(network.parameters()).fill_(weight)
    step = NonFiniteDiagnosis(
        network=network,
        images=torch.full((2, 3, 2, 2), images),
        targets=torch.eye(2),
        loss_of=functional.cross_entropy,
        precision=precision,  # type: ignore[arg-type]
        lr=0.1,
    )
    assert step.diagnosis().startswith(cause)


def test_check_weights_covers_running_averages() -> None:
    network = nn.BatchNorm1d(3)
    check_weights(network)
    assert isinstance(network.running_var, torch.Tensor)
    network.running_var[1] = float("inf")
    with pytest.raises(NotFiniteError, match="weight"):
        check_weights(network)


@pytest.mark.parametrize("threads", [LoaderThreads(1, True), LoaderThreads(2, False)])
def test_hanging_loader_raises(monkeypatch: pytest.MonkeyPatch, threads: LoaderThreads) -> None:
    monkeypatch.setattr(workers, "STALL_SECONDS", 0.2)
    disk_is_back = threading.Event()

    def view_of(row: int) -> np.ndarray:  # type: ignore[type-arg]
        if row == 9:
            disk_is_back.wait(30)  # a read that does not return
        return np.zeros((2, 2, 3), np.uint8)

    rows = []
    batches = split_batches(np.arange(20), 4)
    with pytest.raises(DataError, match="a disk that holds them may be gone"):
        for batch in load_batches(batches, view_of, threads):
            rows += batch.rows.tolist()
    assert rows == list(range(8))
    threads_left = [t for t in threading.enumerate() if t.name.startswith("bestiary-loader")]
    assert all(thread.daemon for thread in threads_left)
    disk_is_back.set()
