"""An exported ONNX file -> a model repository for Triton and other servers of its protocol.

The layout and config.pbtxt follow Triton's user guide ("Model Repository", "Model Configuration").
Knows nothing of runs.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path
from bestiary.display import Display
from bestiary.exporting.result import ExportResult

VERSION = "1"
LABELS = "labels.txt"
MAX_BATCH = 64  # as many images as `bestiary serve` takes in a request


def triton_repository(
    file: Path, folder: Path, exported: ExportResult, name: str, display: Display
) -> None:
    """Build a repository of one model in `folder`: NAME/config.pbtxt, labels.txt, 1/model.onnx.

    Args:
        file: the ONNX file; it is moved.
        folder: the repository.
        exported: the file's card.
        name: name of the run, which the model gets.
        display: says how the server is started.
    """
    model = folder / _model_name(name)
    (model / VERSION).mkdir(parents=True)
    os.replace(file, model / VERSION / "model.onnx")
    _write(model / "config.pbtxt", config(model.name, exported.card))
    _write(model / LABELS, "\n".join(map(_one_line, exported.card["classes"])) + "\n")
    display.line("tritonserver --model-repository FOLDER serves it; its input is `pixels`")


def config(name: str, card: dict[str, Any]) -> str:
    """Write a model's configuration, a protocol buffer as text.

    Args:
        name: name of the model.
        card: the card of its file.

    Example:
        >>> card = {"classes": ["a", "b"], "members": [0], "input": {"size": 32, "name": "pixels"}}
        >>> config("beasts", card).splitlines()[:3]
        ['name: "beasts"', 'backend: "onnxruntime"', 'max_batch_size: 64']
    """
    size = card["input"]["size"]
    n_classes = len(card["classes"])
    # A text of a protocol buffer escapes as JSON does, in ASCII.
    return f"""name: {json.dumps(name)}
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
  {{ name: "{card["input"]["name"]}" data_type: TYPE_UINT8 dims: [ {size}, {size}, 3 ] }}
]
output [
  {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {n_classes} ] label_filename: "{LABELS}" }},
  {{ name: "energy" data_type: TYPE_FP32 dims: [ 1 ] reshape {{ shape: [ ] }} }},
  {{ name: "logits" data_type: TYPE_FP32 dims: [ {len(card["members"])}, {n_classes} ] }}
]
dynamic_batching {{ }}
parameters {{ key: "bestiary" value {{ string_value: {_text(card)} }} }}
"""


def _text(card: dict[str, Any]) -> str:
    """The card as JSON in a quoted string. JSON has escaped all that is not ASCII."""
    quoted = json.dumps(card).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def _model_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).lstrip(".") or "model"


def _one_line(label: str) -> str:
    return " ".join(label.split())


def _write(file: Path, text: str) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
