"""Export of a run: int8, files that are not kept, wrong options and unfinished runs."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting import export as exporting
from bestiary.exporting.formats import WRITERS, read_card
from bestiary.exporting.sample import read_sample, shuffled_manifest, split_calibration
from bestiary.run.images import RunImages
from bestiary.run.run import Run

Read = Callable[[Path, np.ndarray], list[np.ndarray]]
INT8_SUFFIXES = {"onnx": "onnx", "openvino": "xml"}
WRONG = {
    "a file that exists": (["{exists}"], "exists already"),
    "a file of weights that exists": (["{beside}", "--format", "openvino"], "exists already"),
    "a name for another format": (["{new}.onnx", "--format", "openvino"], "must be named .xml"),
    "a name without a suffix": (["{new}"], "must be named .onnx"),
    "an unknown format": (["{new}.onnx", "--format", "tflite"], "tflite"),
    "int8 with torch": (
        ["{new}.pt2", "--format", "torch", "--int8"],
        "choose --format onnx or openvino or litert",
    ),
    "float16 with onnx": (["{new}.onnx", "--float16"], "choose --format litert"),
    "int8 and float16": (["{new}.onnx", "--int8", "--float16"], "choose one of them"),
    "a max drop above 1": (["{new}.onnx", "--int8", "--max-drop", "2"], "--max-drop 2"),
    "no member": (["{new}.onnx", "--prune", "0"], "--prune 0"),
    "all members": (["{new}.onnx", "--prune", "3"], "--prune 3"),
}


@pytest.fixture
def quick(built: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Export all members from the models of `built`, without tracing."""
    copies = {
        "onnx": deepcopy,
        "openvino": lambda model: model.clone(),
        "torch": lambda program: program,
    }
    monkeypatch.setattr(exporting, "_traced", lambda graph, ensemble: None)
    for format, copied in copies.items():
        build = partial(lambda copied, format, program, size: copied(built[format]), copied, format)
        monkeypatch.setitem(WRITERS, format, replace(WRITERS[format], build=build))  # type: ignore[index, misc]


@pytest.mark.slow
@pytest.mark.parametrize("format", INT8_SUFFIXES)
def test_int8_is_judged_out_of_fold(
    format: Any, small: Run, quick: None, tmp_path: Path, by_onnxruntime: Read, by_openvino: Read
) -> None:
    out = tmp_path / f"m.{INT8_SUFFIXES[format]}"
    made = bestiary.export(small.path, out, format=format, int8=True, max_drop=1.0, quiet=True)
    read = {"onnx": by_onnxruntime, "openvino": by_openvino}[format]
    found = made.card["int8"]
    assert made.card == read_card(out)
    assert (made.card["precision"], found["calibrated_on"], found["images"]) == ("int8", 13, 14)
    # the accuracy in the card, computed again from the file and the run's tables
    calibration, test = split_calibration(shuffled_manifest(small), [0, 1, 2], 100, 400)
    assert not set(calibration["path"]) & set(test["path"])
    images = RunImages(small.read_root(), test)
    sample = read_sample(images, Ensemble.load(small, device="cpu").view, test)
    table, logits = sample.table, read(out, sample.views)[2]
    right = [
        small.read_classes()[logits[row, fold].argmax()] == label
        for row, (fold, label) in enumerate(table.select("fold", "label").iter_rows())
    ]
    assert found["accuracy_int8"] == pytest.approx(np.mean(right))
    if format == "onnx":
        kinds = [node.op_type for node in onnx.load(out).graph.node]
        assert "QuantizeLinear" in kinds
        after_last = kinds[len(kinds) - kinds[::-1].index("Gemm") :]
        assert "QuantizeLinear" not in after_last  # averaging stays in float32


@pytest.mark.slow
def test_int8_above_max_drop_is_not_written(
    small: Run,
    quick: None,
    tmp_path: Path,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wreck(model: Any, views: Any) -> Any:
        """Negate the weights of every member's last layer."""
        heads = {node.input[1] for node in model.graph.node if node.op_type == "Gemm"}
        for tensor in model.graph.initializer:
            if tensor.name in heads:
                tensor.CopyFrom(
                    onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name)
                )
        return model

    monkeypatch.setitem(WRITERS, "onnx", replace(WRITERS["onnx"], quantize=wreck))
    line = fails(
        "export", small.path, tmp_path / "m.onnx", "--int8", "--max-drop", "0.05", "--quiet"
    )
    assert "accuracy falls by" in line and "--max-drop 0.05" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_disagreeing_file_is_not_kept(
    small: Run,
    quick: None,
    tmp_path: Path,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = WRITERS["onnx"].open

    def wrong(file: Path, precision: Any) -> Any:
        run = read(file, precision)
        return lambda views: run(views)._replace(probabilities=run(views).probabilities + 2e-4)

    monkeypatch.setitem(exporting.WRITERS, "onnx", replace(WRITERS["onnx"], open=wrong))
    assert "from the network's" in fails("export", small.path, tmp_path / "m.onnx", "--quiet")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_missing_images_are_reported(
    small: Run, quick: None, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    table = pl.read_parquet(run / "manifest.parquet")
    table.write_parquet(run / "manifest.parquet", metadata={"root": str(tmp_path / "gone")})
    (run / "SHA256SUMS").unlink()
    made = bestiary.export(run, tmp_path / "m.pt2", format="torch", quiet=True)
    assert "drawn views" in str(made)
    assert "can be read" in fails("export", run, tmp_path / "m.onnx", "--int8", "--quiet")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_get_one_line(
    case: str, small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    arguments, words = WRONG[case]
    (tmp_path / "exists.onnx").write_text("mine")
    (tmp_path / "beside.bin").write_text("mine")
    places = {
        "new": tmp_path / "new",
        "exists": tmp_path / "exists.onnx",
        "beside": tmp_path / "beside.xml",
    }
    assert words in fails(
        "export", small.path, *[argument.format(**places) for argument in arguments]
    )
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.slow
def test_unfinished_run_exports_uncalibrated(
    small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    card = json.loads((run / "ensemble.json").read_text())
    del card["calibration"]
    card["members"] = card["members"][:2]
    (run / "ensemble.json").write_text(json.dumps(card))
    made = bestiary.export(run, tmp_path / "m.pt2", format="torch", quiet=True)
    assert (made.card["members"], made.card["thresholds"], made.card["temperature"]) == (
        [0, 1],
        None,
        1.0,
    )
    assert "not all folds" in fails(
        "export", run, tmp_path / "n.pt2", "--format", "torch", "--prune", "1"
    )
    assert "no such run" in fails("export", tmp_path / "none", tmp_path / "n.onnx")
