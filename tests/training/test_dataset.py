"""Dataset of a run: soft targets on the device, copied there without waiting for it; pixels."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from bestiary.data.loader import Batch
from bestiary.data.store import ImageStore
from bestiary.model.transfer import send
from bestiary.recipe.load import load_recipe
from bestiary.training.dataset import TrainingSet

CPU = torch.device("cpu")
GPU = torch.device("cuda")
LABELS = np.array([2, 0, 1, 1, 0], np.int64)


def data_of(targets: np.ndarray | None = None) -> TrainingSet:  # type: ignore[type-arg]
    names = pl.Series([str(number) for number in LABELS])
    return TrainingSet(
        recipe=load_recipe("fast"),
        paths=names,
        root=None,  # type: ignore[arg-type]
        digests=names,
        sizes=np.ones((5, 2), np.int32),
        labels=LABELS,
        folds=np.zeros(5, np.int64),
        label_conflict=np.zeros(5, bool),
        classes=["a", "b", "c"],
        targets=targets,
    )


def test_targets_are_one_hot_or_the_students() -> None:
    rows = np.array([3, 0])
    hot = data_of().soft_targets(rows, CPU)
    assert hot.dtype == torch.float32
    assert hot.tolist() == [[0, 1, 0], [0, 0, 1]]
    soft = np.random.default_rng(0).random((5, 3), np.float32)
    assert data_of(soft).soft_targets(rows, CPU).numpy().tolist() == soft[rows].tolist()
    assert data_of().soft_targets(rows, torch.device("meta")).device.type == "meta"


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is done to tensors that go to a device: page-locked, copied, and how."""
    steps: list[Any] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        steps.append("pin")
        return tensor

    def copy(tensor: torch.Tensor, device: torch.device, non_blocking: bool) -> torch.Tensor:
        steps.append((device.type, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", copy)
    return steps


def test_no_copy_of_a_step_waits_for_a_gpu(copies: list[Any]) -> None:
    Batch(torch.zeros(2, 4, 4, 3), np.arange(2)).on(GPU)
    data_of(np.ones((5, 3), np.float32)).soft_targets(np.array([3, 0]), GPU)
    assert copies == ["pin", ("cuda", True)] * 2


def test_a_cpu_needs_no_page_locked_memory(copies: list[Any]) -> None:
    send(torch.zeros(2), CPU)
    assert copies == [("cpu", True)]


def test_views_do_not_depend_on_the_disk(tmp_path: Path) -> None:
    """An image that a store of JPEGs lacks has the pixels that the store would have given."""
    wave = np.sin(np.arange(300) / 9)[:, None] * np.cos(np.arange(400) / 7)
    pixels = (128 + 100 * wave[..., None] * [1, -1, 0.5]).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    digest = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    recipe = load_recipe("fast", ["view.size=64", "data.store_format=jpeg"])
    data = replace(
        data_of(),
        recipe=recipe,
        paths=pl.Series(["a.png"]),
        digests=pl.Series([digest]),
        root=tmp_path,
    )
    store = ImageStore(tmp_path / "store", 96, storing="jpeg")
    assert store.fill([(digest, tmp_path / "a.png")], [(300, 400)], 1 << 30) is None
    stored = replace(data, store=store).pixels_of(0)
    np.testing.assert_array_equal(data.pixels_of(0), stored)
    raw = replace(data, recipe=load_recipe("fast", ["view.size=64"])).pixels_of(0)
    assert raw.shape == stored.shape and not np.array_equal(raw, stored)
    off = load_recipe("fast", ["view.size=64", "data.store_format=jpeg", "data.store=false"])
    np.testing.assert_array_equal(replace(data, recipe=off).pixels_of(0), raw)
