"""An exported ONNX file -> a model folder that MLflow loads and serves.

The folder is MLflow's "pyfunc" flavor (MLflow's documentation, "Storage Format"): MLmodel, what it
needs, and a loader, which is the text of `bestiary.exporting.mlflow_loader`. MLflow itself is not
needed to write it. Knows nothing of runs.
"""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path
from bestiary.display import Display
from bestiary.exporting import mlflow_loader
from bestiary.exporting.mlflow_loader import CARD, INPUT, MODEL, columns_of
from bestiary.exporting.result import ExportResult

CODE = "code"
DATA = "data"
PACKAGES = ("numpy", "pandas", "onnxruntime", "pillow")
"""What the loader imports. MLflow itself brings pandas."""
REQUIREMENTS = "requirements.txt"
ENVIRONMENT = "python_env.yaml"


def mlflow_model(
    file: Path, folder: Path, exported: ExportResult, name: str, display: Display
) -> None:
    """Build the model in `folder`.

    Args:
        file: the ONNX file; it is moved.
        folder: the model, empty.
        exported: the file's card.
        name: name of the run.
        display: says how the model is served.
    """
    loader = mlflow_loader.__name__.rpartition(".")[2]
    (folder / DATA).mkdir()
    (folder / CODE).mkdir()
    os.replace(file, folder / DATA / MODEL)
    source = files(__name__.rpartition(".")[0]) / f"{loader}.py"
    contents = {
        f"{DATA}/{CARD}": json.dumps(exported.card, indent=1, ensure_ascii=False) + "\n",
        f"{CODE}/{loader}.py": source.read_text(encoding="utf-8"),
        REQUIREMENTS: "".join(f"{line}\n" for line in _requirements()),
        ENVIRONMENT: _environment(),
        "MLmodel": description(loader, exported.card, name),
    }
    for path, text in contents.items():
        with atomic_path(folder / path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    display.line("mlflow models serve -m FOLDER --env-manager local serves it")


def description(loader: str, card: dict[str, Any], name: str) -> str:
    """Write MLmodel. It is YAML; each value is JSON, which YAML includes.

    Args:
        loader: module that loads the model.
        card: the card of the file.
        name: name of the run.

    Example:
        >>> card = {"versions": {"bestiary": "0.1.0"}, "out_of_fold": None}
        >>> description("loader", card, "beasts").splitlines()[:2]
        ['flavors:', '  python_function:']
    """
    answers = [
        {"type": kind, "name": column, "required": True}
        for column, kind in columns_of(card).items()
    ]
    told = {
        "run": name,
        "bestiary": card["versions"].get("bestiary", ""),
        "out_of_fold": card["out_of_fold"],
    }
    inputs = [{"type": "binary", "name": INPUT, "required": True}]
    return f"""flavors:
  python_function:
    loader_module: {json.dumps(loader)}
    code: {json.dumps(CODE)}
    data: {json.dumps(DATA)}
    env:
      virtualenv: {json.dumps(ENVIRONMENT)}
    python_version: {json.dumps(platform.python_version())}
metadata: {json.dumps(told)}
signature:
  inputs: {json.dumps(json.dumps(inputs))}
  outputs: {json.dumps(json.dumps(answers))}
  params: null
"""


def _requirements() -> list[str]:
    """The packages as they are installed here; those that are not, in any version."""
    lines = []
    for package in PACKAGES:
        try:
            lines.append(f"{package}=={version(package).partition('+')[0]}")
        except PackageNotFoundError:
            lines.append(package)
    return lines


def _environment() -> str:
    return f"""python: {json.dumps(platform.python_version())}
dependencies:
- -r {REQUIREMENTS}
"""
