"""What only a GPU shows: every recipe and switch, its bits, its memory, and the CPU's answers."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import bestiary
from bestiary.data import loader
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import saliency
from bestiary.model.classifier import build_classifier
from bestiary.model.compute import ComputeConfig
from bestiary.model.graphed import GraphedNetwork
from bestiary.recipe.choices import TtaViews
from bestiary.recipe.defaults import SHIPPED
from bestiary.recipe.load import load_recipe
from bestiary.run.costs import read_costs
from bestiary.run.run import Run
from bestiary.serving.application import build_application
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.state import FoldState
from bestiary.training.step_timing import time_training_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

# Without pretrained weights there is nothing for a linear discriminant to start from.
NO_WEIGHTS = ["model.weights=none", "model.head=random", "model.freeze=0", "train.epochs=2"]
TRAINED_RECIPES = [name for name in SHIPPED if name != "probe"]
SIZES = {
    "best-gpu": ["view.size=64", "view.eval_scale=1.0"],  # multiples of 32
    "foundation": [],  # its network takes images of one size
}
DETERMINISTIC = [
    *NO_WEIGHTS,
    "model.backbone=torchvision/resnet18",  # with a max pool
    "train.deterministic=true",
    "train.batch_size=4",
    "train.ema=0.9",
    *("train.layout=channels_last", "train.compile=never", "train.threads=1"),  # no trial
]


@pytest.fixture(autouse=True)
def _one_thread(_own_threads: None) -> None:
    """Leave the other cores to the tests beside this one: threads that wait for one take its time.

    On two busy cores, a test took five times as long with two threads as with one.
    """
    torch.set_num_threads(1)


def train(data: Path, run: Path, *overrides: str, recipe: str = "paper", **options: Any) -> Run:
    return bestiary.train(
        data,
        run,
        recipe=recipe,
        overrides=[*SIZES.get(recipe, ["view.size=64"]), *overrides],
        folds=3,
        only_fold=[0],
        quiet=True,
        **options,
    )


@pytest.mark.parametrize("recipe", TRAINED_RECIPES)
def test_recipe_trains_a_fold(recipe: str, beasts: Path, tmp_path: Path) -> None:
    if load_recipe(recipe, NO_WEIGHTS).adapts:
        pytest.importorskip("peft")
    run = train(beasts, tmp_path / "run", *NO_WEIGHTS, recipe=recipe)
    history = run.fold(0).history.read_text()
    assert len(history.splitlines()) == 3
    assert "nan" not in history
    (device,) = read_costs([run.fold(0)])["device"]
    assert device == torch.cuda.get_device_name()


# PyTorch 2.11 deprecates what its own torch._inductor still imports.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
@pytest.mark.parametrize(
    "switch",
    [
        "train.ema=0.9",
        "train.precision=fp16",
        "train.layout=contiguous",
        "train.compile=always",
        "view.device=model",
        "loss.logit_adjustment=1.0",
        "predict.tta=5",
        "data.store=false",
    ],
)
def test_switch_trains_a_fold(switch: str, beasts: Path, tmp_path: Path) -> None:
    network = "model.backbone=torchvision/resnet18"
    run = train(beasts, tmp_path / "run", *NO_WEIGHTS, network, switch)
    assert "nan" not in run.fold(0).history.read_text()


def test_same_bits_and_after_resume(
    beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [train(beasts, tmp_path / name, *DETERMINISTIC) for name in ("one", "two")]
    first, second = (run.fold(0).weights.read_bytes() for run in runs)
    assert first == second

    class KilledError(Exception):
        """Stands for SIGKILL."""

    end_step = Checkpointer.end_step

    def die_in_step(checkpointer: Checkpointer, state: FoldState, files: Any, *rest: Any) -> None:
        end_step(checkpointer, state, files, *rest)
        if state.progress.step == 2:
            checkpointer.save(state, files)
        if state.progress.step == 3:
            raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Checkpointer, "end_step", die_in_step)
        train(beasts, tmp_path / "killed", *DETERMINISTIC)
    run = bestiary.train(beasts, tmp_path / "killed", only_fold=[0], resume=True, quiet=True)
    assert run.fold(0).weights.read_bytes() == first


def test_short_memory_halves_the_batch(
    beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.5e9 / total)
    try:
        run = bestiary.train(
            beasts,
            tmp_path / "run",
            recipe="paper",
            overrides=[
                *NO_WEIGHTS,
                "model.backbone=torchvision/resnet50",
                "view.size=448",
                "train.batch_size=16",
                "train.compile=never",
            ],
            folds=2,
            only_fold=[0],
            quiet=True,
        )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory; returns to its last checkpoint" in capsys.readouterr().err
    (peak,) = read_costs([run.fold(0)])["peak_memory_mb"]
    assert peak < 1500


def test_graphs_compute_what_the_network_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rounded to 10 bits, two algorithms for one convolution would differ visibly.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    images = torch.randn((4, 3, 64, 64), device="cuda")
    batches = (images, images.flip(3), images[:3])
    gradients: list[list[torch.Tensor]] = []
    statistics: list[torch.Tensor] = []
    for wrap in (lambda network: network, lambda network: GraphedNetwork(network, 4)):
        torch.manual_seed(0)
        plain = build_classifier("torchvision/resnet18", 5, "none").to("cuda")
        network = wrap(plain)
        gradients.append([])
        for batch in batches:
            plain.zero_grad()
            network(batch).square().mean().backward()
            gradients[-1].append(torch.cat([p.grad.flatten() for p in plain.parameters()]))
        statistics.append(torch.cat([b.float().flatten() for b in plain.buffers()]))
    for name, ours, theirs in zip(("recorded", "replayed", "smaller"), *gradients, strict=True):
        difference = (ours - theirs).norm() / theirs.norm()
        assert difference < 1e-3, f"{name} batch: {difference:.2g}"
    torch.testing.assert_close(statistics[1], statistics[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_a_training_step_is_recorded(recipe: str) -> None:
    small = load_recipe(recipe, [*NO_WEIGHTS, "view.size=64", "train.batch_size=8"])
    config = ComputeConfig("bf16", cuda_graphs=True)
    assert time_training_step(small, 5, config, torch.device("cuda")) is not None


def test_forked_processes_make_the_views(
    beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a context of CUDA, which they inherit and never use: the bits of threads."""
    by_threads = train(beasts, tmp_path / "threads", *DETERMINISTIC).fold(0)
    fork, forked = os.fork, []

    def noted() -> int:
        forked.append(True)
        return fork()

    monkeypatch.setattr(os, "fork", noted)
    monkeypatch.setattr(loader, "MIN_FORKED_IMAGES", 1)
    by_processes = train(beasts, tmp_path / "processes", *DETERMINISTIC).fold(0)
    assert len(forked) >= 3, "two epochs, and the held-out images"
    assert by_processes.weights.read_bytes() == by_threads.weights.read_bytes()


def test_memory_of_a_fold_is_freed(beasts: Path, tmp_path: Path) -> None:
    before = torch.cuda.memory_allocated()
    train(beasts, tmp_path / "run", *NO_WEIGHTS, "model.backbone=torchvision/resnet50")
    assert torch.cuda.memory_allocated() - before < 50e6, "its network alone has 94 MB"


@pytest.mark.parametrize("tta", [1, 5])
def test_answers_are_the_cpus(trained: Run, beasts: Path, tta: TtaViews) -> None:
    images = sorted(beasts.rglob("*.jpg"))
    on_gpu = Ensemble.load(trained, engine="torch", tta=tta).predict_proba(images)
    on_cpu = Ensemble.load(trained, device="cpu", engine="torch", tta=tta).predict_proba(images)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=0.03)
    assert (on_gpu.argmax(axis=1) == on_cpu.argmax(axis=1)).mean() > 0.9


def test_run_of_a_gpu_is_exported(trained: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    result = bestiary.export(trained.path, tmp_path / "run.onnx", quiet=True)
    assert all(file.is_file() for file in result.files)


def test_gpu_serves_and_explains(trained: Run, beasts: Path) -> None:
    ensemble = Ensemble.load(trained)
    assert ensemble.device.type == "cuda"
    image = sorted(beasts.rglob("*.jpg"))[0].read_bytes()
    headers = {"Content-Type": "image/jpeg"}
    with TestClient(build_application(ensemble)) as client:
        for route in ("/v1/predict", "/v1/explain"):
            answer = client.post(route, content=image, headers=headers)
            assert answer.status_code == 200, answer.text
    side = ensemble.view.size
    heat = saliency(ensemble.members[0], [np.zeros((side, side, 3), np.uint8)], [0])
    assert heat is None or np.isfinite(heat).all()
