"""The model repository for Triton: its layout, and its configuration by Triton's own parser."""

import json
from pathlib import Path

import onnxruntime
import pytest

from bestiary.display import Display
from bestiary.exporting.formats import read_card
from bestiary.exporting.result import ExportResult
from bestiary.exporting.triton import config, triton_repository


@pytest.mark.slow
def test_repository_matches_its_model(exported: dict[str, Path], tmp_path: Path) -> None:
    card = read_card(exported["onnx"])
    model = tmp_path / "m.onnx"
    model.write_bytes(exported["onnx"].read_bytes())
    folder = tmp_path / "repository"
    folder.mkdir()
    result = ExportResult([], card)
    triton_repository(model, folder, result, "night/moths 2", Display(quiet=True))
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    name = "night_moths_2"
    assert made == {f"{name}/config.pbtxt", f"{name}/labels.txt", f"{name}/1/model.onnx"}
    assert (folder / name / "labels.txt").read_text().split("\n")[:-1] == card["classes"]
    # The file's own inputs and outputs, without the axis of the batch, are those of the text.
    session = onnxruntime.InferenceSession(folder / name / "1" / "model.onnx")
    text = (folder / name / "config.pbtxt").read_text()
    for port in [*session.get_inputs(), *session.get_outputs()]:
        sides = port.shape[1:] or [1]  # an output of one number an image is said as [ 1 ], reshaped
        assert f"dims: [ {', '.join(map(str, sides))} ]" in text.split(f'name: "{port.name}"')[1]


def test_triton_parses_the_configuration() -> None:
    protocol = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="tritonclient[grpc] is not installed"
    )
    from google.protobuf import text_format

    card = {
        "classes": ['a "quoted"', "b\\c", "\u00e9\n"],
        "members": [0, 2],
        "input": {"size": 32, "name": "pixels"},
    }
    parsed = text_format.Parse(config("m", card), protocol.ModelConfig())
    assert parsed.max_batch_size == 64 and list(parsed.input[0].dims) == [32, 32, 3]
    names = [output.name for output in parsed.output]
    assert names == ["probabilities", "energy", "logits"]
    assert json.loads(parsed.parameters["bestiary"].string_value) == card
