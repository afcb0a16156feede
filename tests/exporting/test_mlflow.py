"""The model for MLflow: it needs no bestiary, answers as the run does, and MLflow serves it."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.formats import read_card
from bestiary.exporting.mlflow_loader import answer, columns_of, view
from bestiary.exporting.mlflow_model import mlflow_model
from bestiary.exporting.result import ExportResult

TWO = {"classes": ["lynx", "wolf"], "thresholds": None}
LIMITS = {"prediction_sets": {"0.9": 0.7}, "accepted": {"0.05": 0.6}, "unknown": -1.0}


@pytest.fixture(scope="module")
def model(exported: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `bestiary export --format mlflow` writes."""
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    folder.mkdir()
    file = folder.parent / "m.onnx"
    file.write_bytes(exported["onnx"].read_bytes())
    mlflow_model(file, folder, ExportResult([], read_card(file)), "moths", Display(quiet=True))
    return folder


def check_answers(rows: list[dict[str, Any]], ensemble: Ensemble, images: list[Path]) -> None:
    """Compare answers with those of the run; Pillow shrinks images slightly differently."""
    expected = ensemble.predict_proba(images)
    classes = ensemble.classes_.tolist()
    of_labels = expected[np.arange(len(images)), [classes.index(row["label"]) for row in rows]]
    np.testing.assert_allclose(of_labels, expected.max(axis=1), atol=0.02)
    told = [row["confidence"] for row in rows]
    np.testing.assert_allclose(told, expected.max(axis=1), atol=0.02)
    assert all(row["label"] in row["prediction_set"].split("|") for row in rows)


@pytest.mark.slow
def test_mlflow_model_needs_no_bestiary(
    model: Path, ensemble: Ensemble, images: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    told = yaml.safe_load((model / "MLmodel").read_text())
    flavor = told["flavors"]["python_function"]
    program = f"""
import importlib, pathlib, sys
sys.path.insert(0, {str(model / flavor["code"])!r})
module = importlib.import_module({flavor["loader_module"]!r})
loaded = module._load_pyfunc({str(model / flavor["data"])!r})
answers = loaded.predict([pathlib.Path(file).read_bytes() for file in sys.argv[1:]])
print(answers.to_json(orient="records"))
print(any(name.split(".")[0] == "bestiary" for name in sys.modules))
"""
    some = images[::2]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, some)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, has_bestiary = done.stdout.splitlines()
    assert has_bestiary == "False"
    check_answers(json.loads(rows), ensemble, some)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_loads_and_serves(
    model: Path,
    ensemble: Ensemble,
    images: list[Path],
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    import pandas

    contents = [path.read_bytes() for path in images]
    loaded = mlflow.pyfunc.load_model(str(model))
    answers = loaded.predict(pandas.DataFrame({"image": contents}))
    check_answers(answers.to_dict("records"), ensemble, images)
    assert [column.name for column in loaded.metadata.signature.outputs] == list(answers.columns)

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model)]
    command += ["--env-manager", "local", "--port", str(port), "--host", "127.0.0.1"]
    # It starts uvicorn by its name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (tmp_path / "log.txt").open("w") as log:
        server = subprocess.Popen(
            command,
            env=os.environ | {"PATH": path},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server)
        rows = [[base64.b64encode(content).decode()] for content in contents[:5]]
        body = json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            body,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            served = json.loads(reply.read())["predictions"]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert served == answers.to_dict("records")[:5]


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    """Wait until a server answers."""
    for _ in range(240):
        assert server.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


def test_mlflow_answer_follows_the_card() -> None:
    row = answer(TWO | {"thresholds": LIMITS}, np.array([0.65, 0.35]), -2.0)
    assert row == {
        "label": "lynx",
        "confidence": 0.65,
        "prediction_set": "lynx|wolf",
        "accepted": True,
        "unknown": False,
    }
    unknown = answer(TWO | {"thresholds": LIMITS}, np.array([0.65, 0.35]), 0.0)
    assert unknown["unknown"] and not unknown["accepted"]


def test_mlflow_answer_follows_decisions() -> None:
    decisions = {
        "promised": {"thresholds": [0.7, 0.5]},
        "costs": {"matrix": [[0, 1], [10, 0]]},  # a wolf that is taken for a lynx costs most
    }
    card = TWO | {"thresholds": LIMITS, "decisions": decisions}
    row = answer(card, np.array([0.65, 0.35]), -2.0)
    assert (row["label"], row["promised"], row["decision"]) == ("lynx", False, "wolf")
    assert list(row) == list(columns_of(card))


def test_mlflow_view_scales_deep_images() -> None:
    how = {"size": 4, "white": [65535.0, 1.0], "resize": "squash", "enlarge": "bilinear"}
    stored = io.BytesIO()
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(stored, "PNG")
    assert np.unique(view(stored.getvalue(), how)).tolist() == [128]
    with pytest.raises(ValueError, match="cannot be read"):
        view(b"no image", how)
