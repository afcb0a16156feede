"""LiteRT files against the network; skipped where the extra `litert` is not installed."""

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting import export as exporting
from bestiary.exporting.export import build_graph
from bestiary.exporting.formats import WRITERS, read_card
from bestiary.exporting.litert import build_litert, open_litert
from bestiary.run.run import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_litert.py"


@pytest.fixture(scope="module")
def model(ensemble: Ensemble) -> bytes:
    """The float32 model, converted once."""
    pytest.importorskip("litert_torch", reason="litert-torch is not installed (extra litert)")
    return build_litert(exporting.trace(build_graph(ensemble, [0, 1, 2]), 32), 32)


@pytest.fixture
def quick(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_traced", lambda graph, ensemble: None)
    writer = replace(WRITERS["litert"], build=lambda program, size: model)
    monkeypatch.setitem(WRITERS, "litert", writer)


@pytest.mark.slow
def test_litert_agrees_with_network(
    small: Run, quick: None, ensemble: Ensemble, images: list[Path], views: np.ndarray,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "m.tflite"
    made = bestiary.export(small.path, file, format="litert", quiet=True)
    assert read_card(file) == made.card and made.card["input"]["shape"] == [1, 32, 32, 3]
    labels = zipfile.ZipFile(file).read("labels.txt").decode().splitlines()
    assert labels == ensemble.classes_.tolist()
    outputs = open_litert(file, "float32")(views)
    np.testing.assert_allclose(outputs.probabilities, ensemble.predict_proba(images), atol=1e-5)
    some = [str(path) for path in images[::3]]
    command = [sys.executable, str(EXAMPLE), str(file), *some]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    confidence = [float(row[2]) for row in rows]
    np.testing.assert_allclose(confidence, ensemble.predict_proba(some).max(axis=1), atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("lower", ["int8", "float16"])
def test_lower_precision_is_judged(lower: Any, small: Run, quick: None, tmp_path: Path) -> None:
    plain = bestiary.export(small.path, tmp_path / "m.tflite", format="litert", quiet=True)
    file = tmp_path / "lower.tflite"
    options: dict[str, Any] = {lower: True}
    made = bestiary.export(small.path, file, format="litert", max_drop=1.0, quiet=True, **options)
    assert made.card["precision"] == lower and lower in str(made)
    drop = made.card[lower]
    assert drop["images"] == 14 and 0 <= drop[f"accuracy_{lower}"] <= 1
    assert drop["ensemble"]["labels_equal"] >= 13
    assert file.stat().st_size < 0.7 * plain.files[0].stat().st_size
