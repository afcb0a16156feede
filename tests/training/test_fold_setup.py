"""Fold setup on a device that is not the CPU: a stand-in, PyTorch's meta device."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bestiary.model.compiled import CompiledNetwork
from bestiary.model.compute import ComputeConfig
from bestiary.model.graphed import GraphedNetwork
from bestiary.recipe.load import load_recipe
from bestiary.run.layout import FoldFiles
from bestiary.training import fold_setup
from bestiary.training.distributed import SINGLE_PROCESS

META = torch.device("meta")


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Accelerate's place be taken by one that computes on the meta device."""

    def prepare(*objects: Any) -> tuple[Any, ...]:
        objects[0].to(META)
        return objects

    accelerator = SimpleNamespace(device=META, scaler=None, prepare=prepare)
    monkeypatch.setattr(fold_setup, "_build_accelerator", lambda _job: accelerator)
    # TensorBoard's thread would still write after a test has removed its folder.
    monkeypatch.setattr(fold_setup, "start_fold_trackers", lambda _job: ())
    # timm's EMA makes one on the network's device, which the meta device has none of.
    generator = torch.Generator()
    monkeypatch.setattr(torch, "Generator", lambda device: generator)


def job_of(path: Path, *overrides: str, compiled: bool = False) -> Any:
    network = ["model.backbone=timm/test_resnet", "model.weights=none", "model.head=random"]
    recipe = load_recipe("best", [*network, "optimizer.layer_decay=1", *overrides])
    return SimpleNamespace(
        fold=0,
        recipe=recipe,
        data=SimpleNamespace(classes=["a", "b"], paths=["1.jpg"]),
        files=FoldFiles(path),
        compute=ComputeConfig("float32", compiled=compiled, cuda_graphs=not compiled),
        world=SINGLE_PROCESS,
        notice=print,
    )


def test_ema_is_on_the_networks_device(on_meta: None, tmp_path: Path) -> None:
    state = fold_setup.build_fold_state(job_of(tmp_path, "train.ema=0.9"))
    assert state.average is not None
    tensors = [*state.average.module.parameters(), *state.average.module.buffers()]
    assert {tensor.device for tensor in tensors} == {META}
    state.update_average(1)  # of tensors on two devices, this would raise


@pytest.mark.parametrize(("parts", "size"), [(1, 16), (2, 8), (4, 4)])
def test_compiled_for_the_whole_batch(
    on_meta: None, tmp_path: Path, parts: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: network)
    job = job_of(tmp_path, "train.batch_size=16", compiled=True)
    state = fold_setup.build_fold_state(job, parts)
    assert state.progress.parts == parts
    assert isinstance(state.network, CompiledNetwork)
    assert state.network.batch_size == size


@pytest.mark.parametrize(("parts", "is_recorded"), [(1, True), (2, False)])
def test_graphs_are_of_whole_batches(
    on_meta: None, tmp_path: Path, parts: int, is_recorded: bool
) -> None:
    state = fold_setup.build_fold_state(job_of(tmp_path, "train.batch_size=16"), parts)
    assert isinstance(state.network, GraphedNetwork) == is_recorded, "parts add gradients up"
