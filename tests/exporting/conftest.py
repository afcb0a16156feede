"""Fixtures: an ensemble, an exported file of each format, and programs that run such files."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

import bestiary
from bestiary.data.decode import decode, read_image
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting import export as exporting
from bestiary.exporting.formats import WRITERS
from bestiary.exporting.graph import build_graph
from bestiary.run.run import Run

SUFFIXES = {"onnx": "onnx", "openvino": "xml", "torch": "pt2"}
Read = Callable[[Path, np.ndarray], list[np.ndarray]]


@pytest.fixture(scope="session")
def ensemble(small: Run) -> Ensemble:
    return Ensemble.load(small, device="cpu", engine="torch")


@pytest.fixture(scope="session")
def images(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))


@pytest.fixture(scope="session")
def views(ensemble: Ensemble, images: list[Path]) -> np.ndarray:
    return np.stack(
        [
            ensemble.view(decode(read_image(path), min_side=ensemble.view.min_side))
            for path in images
        ]
    )


@pytest.fixture(scope="session")
def exported(small: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each format."""
    folder = tmp_path_factory.mktemp("exported")
    for format, suffix in SUFFIXES.items():
        bestiary.export(small.path, folder / f"m.{suffix}", format=format, quiet=True)  # type: ignore[arg-type]
    return {format: folder / f"m.{suffix}" for format, suffix in SUFFIXES.items()}


@pytest.fixture(scope="session")
def built(ensemble: Ensemble) -> dict[str, Any]:
    """Each format's model, built once for the tests of later steps."""
    program = exporting.trace(build_graph(ensemble, [0, 1, 2]), 32)
    return {format: WRITERS[format].build(program, 32) for format in SUFFIXES}  # type: ignore[index]


@pytest.fixture(scope="session")
def by_onnxruntime() -> Read:
    """Run an ONNX file by ONNX Runtime: probabilities, energy and logits of views."""

    def read(file: Path, views: np.ndarray) -> list[np.ndarray]:
        return onnxruntime.InferenceSession(file).run(
            ["probabilities", "energy", "logits"], {"pixels": views}
        )

    return read


@pytest.fixture(scope="session")
def by_openvino() -> Read:
    """Run an ONNX file or an OpenVINO model by OpenVINO, as `by_onnxruntime`."""

    def read(file: Path, views: np.ndarray) -> list[np.ndarray]:
        found = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
            views
        )
        return [np.array(found[name]) for name in ("probabilities", "energy", "logits")]

    return read


@pytest.fixture(scope="session")
def by_torch() -> Read:
    """Run a program of torch.export by PyTorch, as `by_onnxruntime`."""
    load_program = cache(torch.export.load)

    def read(file: Path, views: np.ndarray) -> list[np.ndarray]:
        return [
            output.detach().numpy()
            for output in load_program(file).module()(torch.from_numpy(views))
        ]

    return read
