"""The Open Inference Protocol (V2) of the service, by Triton's own client and by hand."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from bestiary.ensemble.ensemble import Ensemble
from bestiary.serving.application import build_application
from bestiary.serving.limits import Limits
from bestiary.serving.tensors import HEADER

MODEL = "/v2/models/ensemble"
TOKEN = "a-token-of-some-length"


def request_json(*images: bytes, **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(image).decode() for image in images]
    tensor = {"name": "images", "datatype": "BYTES", "shape": [len(images)], "data": data}
    return {"inputs": [tensor], **more}


@pytest.fixture(scope="module")
def url(ensemble: Ensemble, running: Callable[..., Any]) -> Iterator[str]:
    limits = Limits(max_body_bytes=300_000, timeout_seconds=300.0)
    with running(build_application(ensemble, limits=limits)) as started:
        yield started.removeprefix("http://").rstrip("/")


def test_triton_client_gets_the_answers(url: str, client: TestClient, beasts: Path) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    images = [path.read_bytes() for path in sorted(beasts.rglob("*.jpg"))[:3]]
    expected = [client.post("/v1/predict", content=one).json()["predictions"][0] for one in images]
    connection = triton.InferenceServerClient(url)
    assert connection.is_server_live() and connection.is_server_ready()
    assert connection.is_model_ready("ensemble") and not connection.is_model_ready("other")
    described = connection.get_model_metadata("ensemble")
    names = [output["name"] for output in described["outputs"]]
    given = triton.InferInput("images", [len(images)], "BYTES")
    given.set_data_from_numpy(np.array(images, np.object_))
    # All outputs as bytes, some as bytes and some as JSON.
    whole = connection.infer("ensemble", [given], parameters={"coverage": "0.9"})
    some = [
        triton.InferRequestedOutput("unknown", binary_data=False),
        triton.InferRequestedOutput("label", binary_data=False),
        triton.InferRequestedOutput("confidence", binary_data=True),
    ]
    part = connection.infer("ensemble", [given], outputs=some, request_id="7")
    assert part.get_response()["id"] == "7" and part.as_numpy("accepted") is None
    for output in described["outputs"]:
        found = whole.as_numpy(output["name"])
        assert found.shape[0] == 3 and len(found.shape) == len(output["shape"])
    assert set(names) >= {"label", "prediction_set", "accepted", "unknown", "top_confidences"}
    for number, answer in enumerate(expected):
        assert whole.as_numpy("label")[number].decode() == answer["label"]
        assert part.as_numpy("label")[number] == answer["label"]
        assert whole.as_numpy("confidence")[number] == pytest.approx(answer["confidence"], abs=1e-6)
        sets = whole.as_numpy("prediction_set")[number].decode().split("|")
        assert sets == answer["prediction_set"]
        assert bool(whole.as_numpy("unknown")[number]) == answer["unknown"]
        assert bool(part.as_numpy("unknown")[number]) == answer["unknown"]
    with pytest.raises(
        Exception, match="Image 0"
    ):  # its class is in another module of each version
        given.set_data_from_numpy(np.array([b"no image"] * 3, np.object_))
        connection.infer("ensemble", [given])
    connection.close()


def test_json_alone_is_answered(client: TestClient, image: bytes) -> None:
    answer = client.post(f"{MODEL}/versions/1/infer", json=request_json(image, image)).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    one = client.post("/v1/predict", content=image).json()["predictions"][0]
    assert outputs["label"]["data"] == [one["label"]] * 2
    assert outputs["top_labels"]["shape"] == [2, len(one["top"])]
    assert outputs["accepted"]["data"] == [one["accepted"]] * 2
    assert (answer["model_name"], answer["model_version"]) == ("ensemble", "1")
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]


BINARY = {"name": "images", "datatype": "BYTES", "shape": [1]}
REFUSED: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "Invalid JSON"),
    "no input": ({"inputs": []}, "inputs"),
    "another input": ({"inputs": [{**BINARY, "name": "pixels", "data": [""]}]}, "the one input is"),
    "another type": ({"inputs": [{**BINARY, "datatype": "FP32", "data": [1]}]}, "the one input is"),
    "no Base64": ({"inputs": [{**BINARY, "data": ["*"]}]}, "Base64"),
    "a wrong shape": ({"inputs": [{**BINARY, "shape": [2], "data": [""]}]}, "has 2 elements"),
    "a negative shape": ({"inputs": [{**BINARY, "shape": [-1], "data": [""]}]}, "has -1 elements"),
    "bytes that are not there": (
        {"inputs": [{**BINARY, "parameters": {"binary_data_size": 9}}]},
        "binary_data_size is 9",
    ),
    "an unknown parameter": (request_json(b"x", parameters={"sharpness": 1}), "sharpness"),
    "an unknown risk": (request_json(b"x", parameters={"risk": "0.5"}), "risk: 0.01"),
    "an unknown output": (request_json(b"", outputs=[{"name": "mask"}]), "empty"),
    "no image": (request_json(b"no image"), "Image 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_requests_are_refused(case: str, client: TestClient) -> None:
    body, words = REFUSED[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(f"{MODEL}/infer", content=content)
    assert 400 <= response.status_code < 500
    assert list(response.json()) == ["error"] and words in response.json()["error"]


@pytest.mark.parametrize(
    "packed", [b"\x01\x00", struct.pack("<I", 9) + b"x", struct.pack("<I", 1) + b"xy"]
)
def test_badly_packed_bytes_are_refused(packed: bytes, client: TestClient) -> None:
    tensor = {**BINARY, "parameters": {"binary_data_size": len(packed)}}
    text = json.dumps({"inputs": [tensor]}).encode()
    for header in (str(len(text)), "99999999", "-1", "many"):
        response = client.post(f"{MODEL}/infer", content=text + packed, headers={HEADER: header})
        assert response.status_code == 400, response.text


def test_unknown_output_is_named(client: TestClient, image: bytes) -> None:
    asked = request_json(image, outputs=[{"name": "mask"}])
    response = client.post(f"{MODEL}/infer", json=asked)
    assert response.status_code == 400 and "'mask' is none of label," in response.json()["error"]


def test_other_model_is_not_found(client: TestClient) -> None:
    for path in ("/v2/models/other", "/v2/models/other/ready", f"{MODEL}/versions/2"):
        response = client.get(path)
        assert response.status_code == 404 and "'ensemble'" in response.json()["error"]


def test_token_guards_the_model(ensemble: Ensemble, image: bytes) -> None:
    with TestClient(build_application(ensemble, token=TOKEN)) as guarded:
        assert guarded.post(f"{MODEL}/infer", json=request_json(image)).status_code == 401
        assert guarded.get(MODEL).status_code == 401
        assert guarded.get("/v2/health/ready").status_code == 200
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = guarded.post(f"{MODEL}/infer", json=request_json(image), headers=headers)
        assert answer.status_code == 200


def test_limits_hold_here_too(client: TestClient, image: bytes) -> None:
    many = client.post(f"{MODEL}/infer", json=request_json(*[image] * 5))
    assert many.status_code == 422 and "More than 4 images" in many.json()["error"]
    large = client.post(f"{MODEL}/infer", content=bytes(300_001))
    assert large.status_code == 413
