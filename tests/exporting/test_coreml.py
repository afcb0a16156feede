"""Core ML packages: what is in them, and their operations, computed here, against the network.

Those that convert are skipped where the extra `coreml` is not installed. Core ML runs none of them.
"""

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.exporting import export as exporting
from bestiary.exporting.coreml import NOTE, CoremlModel, build_coreml, open_coreml, save_coreml
from bestiary.exporting.coreml_operations import OPERATIONS
from bestiary.exporting.coreml_program import read_program
from bestiary.exporting.export import build_graph
from bestiary.exporting.formats import WRITERS, read_card
from bestiary.run.run import Run

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


@pytest.fixture(scope="module")
def model(ensemble: Ensemble) -> CoremlModel:
    """The program, traced once."""
    if importlib.util.find_spec("coremltools") is None:
        pytest.skip("coremltools is not installed (extra coreml)")
    return build_coreml(exporting.trace(build_graph(ensemble, [0, 1, 2]), 32), 32)


@pytest.fixture
def quick(model: CoremlModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_traced", lambda graph, ensemble: None)
    writer = replace(WRITERS["coreml"], build=lambda program, size: model)
    monkeypatch.setitem(WRITERS, "coreml", writer)


@pytest.fixture
def package(model: CoremlModel, ensemble: Ensemble, tmp_path: Path) -> Path:
    """A package with a card of the classes alone."""
    file = tmp_path / "plain.mlpackage"
    save_coreml(model, {"classes": ensemble.classes_.tolist()}, file)
    return file


@pytest.mark.slow
def test_coreml_agrees_with_network(
    small: Run, quick: None, ensemble: Ensemble, images: list[Path], views: np.ndarray,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "m.mlpackage"
    made = bestiary.export(small.path, file, format="coreml", quiet=True)
    assert made.folder == file and made.files[0] == file / "Manifest.json"
    assert file / WEIGHTS in made.files and all(part.is_file() for part in made.files)
    assert read_card(file) == made.card and made.card["input"]["shape"] == [1, 32, 32, 3]
    assert made.card["note"] == NOTE and "not run by Core ML" in str(made)
    assert made.card["agreement"]["float32"]["probability_difference"] < 1e-5
    outputs = open_coreml(file, "float32")(views)
    np.testing.assert_allclose(outputs.probabilities, ensemble.predict_proba(images), atol=1e-5)


@pytest.mark.slow
def test_coreml_is_a_classifier_of_images(
    package: Path, model: CoremlModel, ensemble: Ensemble, tmp_path: Path
) -> None:
    import coremltools

    classes = ensemble.classes_.tolist()
    spec = coremltools.utils.load_spec(str(package))
    (image,) = spec.description.input
    color = image.type.imageType
    assert (image.name, color.width, color.height) == ("pixels", 32, 32)
    assert color.ColorSpace.Name(color.colorSpace) == "RGB"
    outputs = {output.name: output.type for output in spec.description.output}
    assert set(outputs) == {"label", "probabilities", "energy", "logits"}
    assert spec.description.predictedFeatureName == "label"
    assert spec.description.predictedProbabilitiesName == "probabilities"
    assert outputs["probabilities"].WhichOneof("Type") == "dictionaryType"
    assert list(outputs["logits"].multiArrayType.shape) == [1, 3, len(classes)]
    (decision,) = read_program(package).find_ops(op_type="classify")
    assert decision.classes.val == classes
    # The same network gives the same weights, byte for byte.
    again = tmp_path / "again.mlpackage"
    save_coreml(replace(model, converted=None), {"classes": classes}, again)
    files = [package / WEIGHTS, again / WEIGHTS]
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 1


@pytest.mark.slow
def test_changed_weights_show(package: Path, views: np.ndarray) -> None:
    before = open_coreml(package, "float32")(views[:2])
    again = open_coreml(package, "float32")(views[:2])
    assert (before.logits == again.logits).all()
    weights = package / WEIGHTS
    content = bytearray(weights.read_bytes())
    start = len(content) // 2 // 64 * 64
    values = np.frombuffer(bytes(content[start : start + 256]), np.float32)
    content[start : start + 256] = (3 * values + 1).tobytes()
    weights.write_bytes(content)
    after = open_coreml(package, "float32")(views[:2])
    assert np.abs(before.logits - after.logits).max() > 1e-5


@pytest.mark.slow
def test_float16_of_coreml_is_judged(small: Run, quick: None, tmp_path: Path) -> None:
    plain = bestiary.export(small.path, tmp_path / "m.mlpackage", format="coreml", quiet=True)
    options: dict[str, Any] = {"float16": True, "max_drop": 1.0, "quiet": True}
    made = bestiary.export(small.path, tmp_path / "half.mlpackage", format="coreml", **options)
    assert made.card["precision"] == "float16" and "float16 changes accuracy" in str(made)
    assert made.card["float16"]["ensemble"]["labels_equal"] >= 13
    half, full = ((each.folder / WEIGHTS).stat().st_size for each in (made, plain) if each.folder)
    assert half < 0.6 * full


@pytest.mark.slow
def test_operation_that_is_unknown_is_refused(
    small: Run, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(OPERATIONS, "conv")
    with pytest.raises(BestiaryError, match="the operation conv, which cannot be checked here"):
        bestiary.export(small.path, tmp_path / "m.mlpackage", format="coreml", quiet=True)
    assert not list(tmp_path.iterdir())
