"""Engines: OpenVINO agrees with PyTorch, its graph is cached, and PyTorch takes over otherwise."""

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from bestiary.errors import ArgumentError
from bestiary.model import engine
from bestiary.model.classifier import Classifier, build_classifier, save_member
from bestiary.model.engine import build_network
from bestiary.model.graph_cache import cached_graph
from bestiary.model.infer_requests import InferRequests
from bestiary.model.tta import with_tta

CPU = torch.device("cpu")
needs_openvino = pytest.mark.skipif(
    not engine.openvino_is_installed(), reason="openvino is not installed"
)


def by_pytorch(network: Classifier, views: torch.Tensor) -> np.ndarray:
    return build_network(network, views.shape[1], CPU, "float32", engine="torch").run(views)


@needs_openvino
@pytest.mark.parametrize(
    "backbone", ["timm/test_resnet", "timm/test_vit", "torchvision/shufflenet_v2_x0_5"]
)
def test_openvino_logits_equal_pytorch(backbone: str) -> None:
    torch.manual_seed(1)
    network = build_classifier(backbone, 6, "none").eval()
    size = 160 if "vit" in backbone else 64
    views = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    )
    built = build_network(network, size, CPU, "float32", engine="openvino")
    assert built.engine == "OpenVINO float32" and not built.fallback_reason
    exact = by_pytorch(network, views)
    assert exact.std() > 1e-3
    for batch in (views, views[:1], views[:3]):
        np.testing.assert_allclose(built.run(batch), exact[: len(batch)], atol=1e-4, rtol=1e-4)


@needs_openvino
def test_openvino_features_and_tta(classifier: Classifier, views: torch.Tensor) -> None:
    built = build_network(classifier, 64, CPU, "float32", engine="openvino", output="features")
    plain = build_network(classifier, 64, CPU, "float32", engine="torch", output="features")
    exact = with_tta(plain.run, 2)(views)
    assert exact.shape == (len(views), classifier.head_layer.in_features)
    np.testing.assert_allclose(with_tta(built.run, 2)(views), exact, atol=1e-4, rtol=1e-4)


@needs_openvino
def test_openvino_bf16_is_near_float32(classifier: Classifier, views: torch.Tensor) -> None:
    built = build_network(classifier, 64, CPU, "bf16", engine="openvino")
    exact = by_pytorch(classifier, views)
    assert (
        np.sqrt(np.mean((built.run(views) - exact) ** 2)) < engine.TOLERANCE["bf16"] * exact.std()
    )


@needs_openvino
def test_graph_cache_is_used_or_rebuilt(
    classifier: Classifier, views: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "graphs" / "a.xml"

    def run() -> np.ndarray:
        built = build_network(
            classifier, 64, CPU, "float32", engine="openvino", graph_path=lambda: path
        )
        return built.run(views)

    first = run()
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.bin", "a.xml"]
    conversions = []
    convert = engine._convert
    monkeypatch.setattr(engine, "_convert", lambda *a: conversions.append(1) or convert(*a))
    np.testing.assert_array_equal(run(), first)
    assert not conversions
    compiled = list(path.parent.glob("*.blob"))  # of the second reading: for few and many images
    assert len(compiled) == 2
    for blob in compiled:
        blob.unlink()
    path.write_text("<net")
    np.testing.assert_array_equal(run(), first)
    assert conversions == [1]


@needs_openvino
def test_disagreeing_graph_falls_back_to_pytorch(
    classifier: Classifier, views: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(InferRequests):
        def run(self, views: np.ndarray, outputs: Sequence[int | str]) -> list[np.ndarray]:
            return [np.zeros((len(views), 6), np.float32)]

    monkeypatch.setattr(engine, "InferRequests", Wrong)
    built = build_network(classifier, 64, CPU, "float32", graph_path=lambda: tmp_path / "a.xml")
    assert (
        built.engine == "PyTorch float32" and "differs from PyTorch by 1" in built.fallback_reason
    )
    assert not (tmp_path / "a.xml").exists()
    np.testing.assert_array_equal(built.run(views), by_pytorch(classifier, views))
    with pytest.raises(ArgumentError, match=r"--engine openvino: .* differs from PyTorch"):
        build_network(classifier, 64, CPU, "float32", engine="openvino")


@needs_openvino
def test_unconvertible_network_runs_by_pytorch(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such\noperation")

    monkeypatch.setattr(engine, "_convert", fail)
    built = build_network(classifier, 64, CPU, "float32")
    assert built.engine == "PyTorch float32"
    assert built.fallback_reason == "OpenVINO cannot convert timm/test_resnet (no such operation)"


@pytest.mark.slow
@needs_openvino
def test_dropped_openvino_networks_free_memory() -> None:
    """Each has 13 MB of weights, and TorchScript's traces would hold 40 MB of each for ever."""
    classifier = build_classifier("offline/efficientnet_lite0", 6, "none").eval()
    resident = []
    for _ in range(6):
        assert build_network(classifier, 64, CPU, "float32", engine="openvino").run is not None
        gc.collect()
        resident.append(psutil.Process().memory_info().rss / 1e6)
    assert resident[-1] - resident[0] < 60


@pytest.mark.slow
@needs_openvino
def test_signal_after_openvino_drop_in_thread(
    classifier: Classifier,
) -> None:
    code = """
import os, signal, threading, torch
from bestiary.model.classifier import build_classifier
from bestiary.model.engine import build_network
network = build_classifier("timm/test_resnet", 6, "none").eval()
networks = [build_network(network, 64, torch.device("cpu"), "float32", engine="openvino")]
del network
dropping = threading.Thread(target=networks.clear)
dropping.start()
dropping.join()
signal.signal(signal.SIGTERM, lambda *_: print("survived"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "survived\n"), ended.stderr


def test_without_openvino_pytorch_runs(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "openvino_is_installed", lambda: False)
    built = build_network(classifier, 64, CPU, "float32")
    assert built.engine == "PyTorch float32" and not built.fallback_reason
    with pytest.raises(ArgumentError, match=r"pip install 'bestiary\[export\]'"):
        build_network(classifier, 64, CPU, "float32", engine="openvino")


def test_no_digest_without_graph(classifier: Classifier) -> None:
    def fail() -> Path:
        pytest.fail("the graph's path was asked for")

    build_network(classifier, 64, CPU, "float32", engine="torch", graph_path=fail)


@needs_openvino
def test_graph_cache_is_keyed_by_weights(classifier: Classifier, tmp_path: Path) -> None:
    save_member(classifier, tmp_path / "a.safetensors")
    save_member(classifier, tmp_path / "b.safetensors")
    torch.manual_seed(8)
    save_member(build_classifier("timm/test_resnet", 6, "none"), tmp_path / "c.safetensors")
    a, b, c = (cached_graph(tmp_path / f"{name}.safetensors", 64) for name in "abc")
    assert a == b != c
    assert cached_graph(tmp_path / "a.safetensors", 96) != a


@pytest.mark.slow
@needs_openvino
def test_openvino_telemetry_is_off(tmp_path: Path) -> None:
    pytest.importorskip("openvino_telemetry")
    program = (
        "from bestiary.model.classifier import build_classifier\n"
        "from bestiary.model.engine import build_network\n"
        "import openvino_telemetry, torch\n"
        "network = build_classifier('timm/test_resnet', 6, 'none').eval()\n"
        "build_network(network, 64, torch.device('cpu'), 'float32', engine='openvino')\n"
        "assert openvino_telemetry.Telemetry().consent is False\n"
    )
    outside = {
        key: value
        for key, value in os.environ.items()
        if key not in ("CI", "TF_BUILD", "JENKINS_URL")
    }
    environment = {**outside, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_openvino
def test_threads_may_begin_together() -> None:
    """Without the core's first conversion, four threads wait for each other forever."""
    program = (
        "import os, sys, threading\n"
        "from bestiary.model.openvino_runtime import openvino_core\n"
        "openvino_core()\n"
        "import openvino\n"
        "sys.setswitchinterval(1e-6)\n"
        "begin = threading.Barrier(4)\n"
        "def convert():\n"
        "    begin.wait()\n"
        "    openvino.Type.u8.to_dtype()\n"
        "threads = [threading.Thread(target=convert) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
