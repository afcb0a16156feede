"""Uploads: raw and multipart bodies, the body limit (413), pixels, counts, and no disk access."""

import os
import sys
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bestiary.ensemble.ensemble import Ensemble
from bestiary.serving.application import build_application


def png(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def claiming(side: int) -> bytes:
    """A PNG of one pixel that claims `side` times `side`."""
    content = bytearray(png(1, 1))
    content[16:24] = side.to_bytes(4) * 2
    content[29:33] = crc32(content[12:29]).to_bytes(4)
    return bytes(content)


def sent(client: TestClient, body: bytes, kind: str = "image/jpeg", **options: Any) -> Any:
    return client.post("/v1/predict", content=body, headers={"content-type": kind}, **options)


def part(name: bytes, content: bytes, extra: bytes = b"") -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="'
        + name
        + b'"'
        + extra
        + b"\r\n\r\n"
        + content
        + b"\r\n"
    )


def form(client: TestClient, body: bytes, boundary: str = "b") -> Any:
    return sent(client, body, f"multipart/form-data; boundary={boundary}")


def refused(answer: Any, status: int, code: str) -> str:
    problem = answer.json()
    assert answer.status_code == problem["status"] == status, problem
    assert problem["code"] == code, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert problem["detail"].endswith(".")
    return str(problem["detail"])


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/png", "application/octet-stream", "IMAGE/JPEG; charset=x", ""]
)
def test_raw_body_of_any_image_type(client: TestClient, image: bytes, kind: str) -> None:
    answer = sent(client, image, kind)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    assert prediction["label"] == prediction["top"][0]["label"]
    assert prediction["error"] is None


def test_multipart_form_of_images(client: TestClient, image: bytes) -> None:
    cut = image[: len(image) // 8]
    files = [
        ("images", ("a.jpg", image)),
        ("images", ("b.txt", b"text")),
        ("images", ("c.jpg", cut)),
    ]
    predictions = client.post("/v1/predict", files=files).json()["predictions"]
    assert [one["name"] for one in predictions] == ["a.jpg", "b.txt", "c.jpg"]
    assert predictions[0]["label"] and predictions[0]["error"] is None
    assert [one["error"]["code"] for one in predictions[1:]] == ["not_an_image", "damaged"]
    assert predictions[1]["label"] is None and predictions[1]["top"] == []


def test_multipart_form_in_any_chunks(client: TestClient, image: bytes) -> None:
    whole = (
        part(b"images", image) + part(b"images", image, b'; filename="\xc3\xa4.jpg"') + b"--b--\r\n"
    )
    for size in (1_000, 7_777):
        pieces = (whole[start : start + size] for start in range(0, len(whole), size))
        predictions = form(client, pieces).json()["predictions"]  # type: ignore[arg-type]
        assert [one["name"] for one in predictions] == [None, "ä.jpg"]
        assert predictions[0]["label"] == predictions[1]["label"]


def test_damaged_and_foreign_files(client: TestClient, image: bytes) -> None:
    refused(sent(client, b"%PDF-1.7 something"), 415, "not_an_image")
    refused(
        sent(client, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        415,
        "not_an_image",
    )
    refused(sent(client, image[: len(image) // 8]), 422, "damaged")
    refused(sent(client, b""), 422, "empty")


def test_other_content_types_are_415(client: TestClient, image: bytes) -> None:
    assert "text/html" in refused(sent(client, image, "text/html"), 415, "unsupported_type")
    refused(sent(client, b'{"image": 1}', "application/json"), 415, "unsupported_type")
    refused(sent(client, b"a=b", "application/x-www-form-urlencoded"), 415, "unsupported_type")


def test_body_limit_is_413(client: TestClient) -> None:
    many = bytes(300_001)
    assert "0.3 MB" in refused(sent(client, many), 413, "too_many_bytes")
    refused(sent(client, iter([many[:1000]] * 400)), 413, "too_many_bytes")  # type: ignore[arg-type]
    refused(form(client, part(b"images", many)), 413, "too_many_bytes")


def test_pixel_limit_is_413_by_header(client: TestClient) -> None:
    assert sent(client, png(1000, 1000)).status_code == 200
    assert "1001 x 1000" in refused(sent(client, png(1001, 1000)), 413, "too_many_pixels")
    refused(sent(client, claiming(60_000)), 413, "too_many_pixels")
    refused(sent(client, claiming(900)), 422, "damaged")


def test_image_count_limit_is_422(client: TestClient, image: bytes) -> None:
    assert form(client, part(b"images", image) * 4 + b"--b--\r\n").status_code == 200
    refused(form(client, part(b"images", image) * 5 + b"--b--\r\n"), 422, "too_many_images")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"--b--\r\n", 422, "empty"),
        (b"--b\r\n", 400, "malformed"),
        (part(b"images", b"x"), 400, "malformed"),
        (b"nothing of the kind", 400, "malformed"),
        (part(b"file", b"x", b'; filename="x"') + b"--b--\r\n", 422, "unknown_field"),
        (part(b"coverage", b"0.9") + b"--b--\r\n", 422, "unknown_field"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", 422, "unknown_field"),
        (part(b"images", b"") + b"--b--\r\n", 422, "empty"),
        (b"--b\r\nX: " + b"y" * 9_000 + b"\r\n\r\nx\r\n--b--\r\n", 400, "malformed"),
    ],
)
def test_malformed_multipart_forms(client: TestClient, body: bytes, status: int, code: str) -> None:
    refused(form(client, body), status, code)


def test_multipart_without_boundary(client: TestClient) -> None:
    refused(sent(client, b"x", "multipart/form-data"), 400, "malformed")
    refused(form(client, b"x", "b" * 10_000), 400, "malformed")


def test_random_bodies_are_refused(client: TestClient, image: bytes) -> None:
    rng = np.random.default_rng(0)
    kinds = [
        "image/jpeg",
        "multipart/form-data; boundary=b",
        "application/octet-stream",
        "image/png",
    ]
    heads = [
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF",
        b"II*\x00",
        b"BM",
        b"--b\r\n",
    ]
    for number in range(200):
        body = heads[number % len(heads)] + rng.bytes(int(rng.integers(0, 2_000)))
        answer = sent(client, body, kinds[int(rng.integers(len(kinds)))])
        assert 400 <= answer.status_code < 500, answer.text
    assert sent(client, image).status_code == 200


def test_uploads_never_touch_disk(ensemble: Ensemble, image: bytes) -> None:
    written: list[object] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(arguments)

    sys.addaudithook(watch)  # it cannot be removed
    large = image + bytes(3_000_000)  # frameworks spool what is above a million bytes
    with TestClient(build_application(ensemble)) as client:
        assert sent(client, large).status_code == 200
        body = part(b"images", large, b'; filename="f"') + part(b"images", large) + b"--b--\r\n"
        assert form(client, body).status_code == 200
    assert written == []
    with TemporaryFile():
        assert written  # the audit hook does see such files
    watching = False
