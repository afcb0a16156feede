"""The service's answers are those of `bestiary predict`; who may ask; what it tells of itself."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import bestiary
from bestiary.ensemble.answers import PredictionOptions
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ImageError
from bestiary.run.run import Run
from bestiary.serving.application import build_application
from bestiary.serving.batches import Batches
from bestiary.serving.limits import Limits
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import Problem
from bestiary.serving.service_info import ServiceInfo

TOKEN = "a-token-of-some-length"


def test_answers_are_those_of_predict(
    client: TestClient, trained: Run, beasts: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"coverage": 0.8, "sets": "class", "risk": 0.1}
    bestiary.predict(
        trained.path, beasts, out=tmp_path / "p.parquet", engine="torch", quiet=True, **options
    )
    import polars as pl

    rows = (
        pl.read_parquet(tmp_path / "p.parquet").filter(pl.col("error").is_null()).rows(named=True)
    )
    assert len(rows) == 27
    for start in range(0, 27, 4):
        files = [
            ("images", (row["path"], (beasts / row["path"]).read_bytes()))
            for row in rows[start : start + 4]
        ]
        found = client.post("/v1/predict", files=files, params=options).json()["predictions"]
        for row, one in zip(rows[start : start + 4], found, strict=True):
            assert one["name"] == row["path"]
            assert (one["label"], one["accepted"], one["unknown"]) == (
                row["label"],
                row["accepted"],
                row["unknown"],
            )
            assert "|".join(one["prediction_set"]) == row["prediction_set"]
            assert one["member_agreement"] == row["member_agreement"]
            # Convolutions sum in another order for another size of batch.
            assert one["confidence"] == pytest.approx(row["confidence"], abs=2e-3)
            assert one["top"][1]["confidence"] == pytest.approx(row["confidence_2"], abs=2e-3)
            assert len(one["top"]) == 3  # classes that there are


def test_caution_is_what_was_asked_for(
    client: TestClient, image: bytes, ensemble: Ensemble
) -> None:
    sizes = []
    for coverage in ("0.8", "0.99"):
        answer = client.post("/v1/predict", content=image, params={"coverage": coverage}).json()
        sizes.append(len(answer["predictions"][0]["prediction_set"]))
    assert ensemble.calibration
    assert sizes[0] <= sizes[1]
    wrong = client.post("/v1/predict", content=image, params={"coverage": "0.85"})
    assert wrong.status_code == 422 and wrong.json()["code"] == "invalid"
    assert "coverage" in wrong.json()["detail"]


def test_an_ensemble_without_calibration_says_so(ensemble: Ensemble, image: bytes) -> None:
    bare = Ensemble(ensemble.members, ensemble.classes_.tolist(), ensemble.view, engine="torch")
    with TestClient(build_application(bare)) as client:
        (one,) = client.post("/v1/predict", content=image).json()["predictions"]
        assert one["label"] and one["prediction_set"] is one["accepted"] is one["unknown"] is None
        assert client.get("/v1/model").json()["calibrated"] is False


def test_it_tells_what_it_is(client: TestClient, ensemble: Ensemble, trained: Run) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/v1/classes").json() == {"classes": ensemble.classes_.tolist()}
    model = client.get("/v1/model").json()
    assert model["members"] == 3 and model["limits"] == {
        "bytes": 300_000,
        "pixels": 1_000_000,
        "images": 4,
    }
    facts = ServiceInfo.of(trained, "none")
    assert facts.score and facts.score.images == 27
    assert facts.score.accuracy == trained.read_json("metrics.json")["oof"]["accuracy"]["value"]


def test_it_is_not_ready_before_its_engine_is_and_after(ensemble: Ensemble, image: bytes) -> None:
    client = TestClient(build_application(ensemble))  # not entered: its lifespan has not begun
    assert client.get("/healthz").status_code == 200
    for answer in (client.get("/readyz"), client.post("/v1/predict", content=image)):
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    with client:
        assert client.get("/readyz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_unknown_paths_and_methods_get_json_too(client: TestClient) -> None:
    assert client.get("/v2/predict").json()["code"] == "not_found"
    wrong = client.get("/v1/predict")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST"
    assert wrong.headers["content-type"] == "application/problem+json"


def test_metrics_count_and_name_nothing_that_was_sent(client: TestClient, image: bytes) -> None:
    client.post("/v1/predict", files={"images": ("secret-name.jpg", image)})
    client.get("/v1/secret-path")
    text = client.get("/metrics").text
    assert "secret" not in text
    assert 'bestiary_requests_total{method="POST",route="/v1/predict",status="200"}' in text
    assert 'bestiary_images_total{outcome="answered"}' in text
    assert 'route="other",status="404"' in text
    assert "bestiary_held_bytes 0.0" in text and "bestiary_waiting_images 0.0" in text


def test_a_token_opens_the_interface_and_nothing_else_does(
    ensemble: Ensemble, image: bytes
) -> None:
    with TestClient(build_application(ensemble, token=TOKEN)) as client:
        for path in ("/", "/page.js", "/healthz", "/readyz", "/openapi.json"):
            assert client.get(path).status_code == 200, path
        for given in (
            None,
            "Bearer",
            "Bearer x",
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            TOKEN,
            "Bearer \xff",
        ):
            headers = {} if given is None else {"Authorization": given.encode("latin-1")}
            for answer in (
                client.get("/v1/classes", headers=headers),
                client.get("/metrics", headers=headers),
                client.post("/v1/predict", content=image, headers=headers),
            ):
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        headers = {"Authorization": f"bearer  {TOKEN}".encode()}
        assert client.post("/v1/predict", content=image, headers=headers).status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 200


def test_only_by_its_names(ensemble: Ensemble) -> None:
    with TestClient(build_application(ensemble, hosts={"localhost", "::1"})) as client:
        for host, status in (
            ("localhost:80", 200),
            ("LOCALHOST", 200),
            ("[::1]:9", 200),
            ("evil.example", 421),
        ):
            assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_every_answer_forbids_what_a_page_does_not_need(client: TestClient) -> None:
    for path in ("/", "/page.css", "/v1/classes", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (
            headers["x-content-type-options"] == "nosniff"
            and headers["referrer-policy"] == "no-referrer"
        )


def test_a_defect_is_one_answer_without_its_details(
    ensemble: Ensemble,
    image: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with TestClient(build_application(ensemble)) as client:
        monkeypatch.setattr(ensemble, "score", lambda _: 1 / 0)
        answer = client.post("/v1/predict", content=image)
        assert answer.status_code == 500 and answer.json()["code"] == "defect"
        assert "division" not in answer.text and "division" in caplog.text
        assert "content-security-policy" in answer.headers
        monkeypatch.undo()
        assert client.post("/v1/predict", content=image).status_code == 200


def queue(ensemble: Ensemble, most: int) -> tuple[Batches, list[int]]:
    """A queue, and the sizes of the batches that it makes."""
    batches, sizes = Batches(ensemble, most, Metrics()), []
    answer = batches._answer
    batches._answer = lambda c, k: sizes.append(len(c)) or answer(c, k)  # type: ignore[method-assign,func-returns-value]
    return batches, sizes


def test_requests_are_gathered_and_each_gets_its_own(ensemble: Ensemble, beasts: Path) -> None:
    images = [path.read_bytes() for path in sorted(beasts.rglob("*.jpg"))]

    async def ask() -> tuple[list[Any], list[int]]:
        batches, sizes = queue(ensemble, 100)
        await batches.start()
        asked = [batches.answer([content], PredictionOptions()) for content in images] + [
            batches.answer([b"x"], PredictionOptions())
        ]
        found = await asyncio.gather(*asked)
        await batches.stop()
        return [one for (one,) in found], sizes

    found, sizes = asyncio.run(ask())
    assert sum(sizes) == 28 and len(sizes) <= 2
    assert isinstance(found[-1], ImageError)
    alone = ensemble.predict(images)
    assert [one.top[0][0] for one in found[:-1]] == alone.tolist()


def test_the_queue_is_bounded_and_forgets_those_who_left(ensemble: Ensemble, image: bytes) -> None:
    async def ask() -> list[int]:
        batches, sizes = queue(ensemble, 40)
        await batches.start()
        left = [
            asyncio.create_task(batches.answer([image], PredictionOptions())) for _ in range(40)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="wait") as refused:
            await batches.answer([image], PredictionOptions())
        assert refused.value.status == 503 and refused.value.headers["Retry-After"] == "1"
        for task in left[:39]:
            task.cancel()
        await left[39]
        await batches.stop()
        return sizes

    assert (
        sum(asyncio.run(ask())) <= 33
    )  # those that were in the first batch when they left, and the one that stayed


def test_uploads_have_room_or_are_told_to_come_again(ensemble: Ensemble, image: bytes) -> None:
    limits = Limits(held=len(image) - 1)
    with TestClient(build_application(ensemble, limits=limits)) as client:
        answer = client.post("/v1/predict", content=image)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "bestiary_held_bytes 0.0" in client.get("/metrics").text


def test_a_server_loads_no_training_code(trained: Run, image: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(image)
    code = f"""
import sys, json
from starlette.testclient import TestClient
from bestiary.serving.limits import Limits
from bestiary.serving.server import Address
from bestiary.serving.application import application_of
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run
run = Run.open({str(trained.path)!r})
app = application_of(run, Ensemble.load(run, engine="torch"), Limits(), None, Address(), True, Display(True))
with TestClient(app, base_url="http://localhost") as client:
    content = open({str(tmp_path / "image")!r}, "rb").read()
    for path in ("/v1/predict", "/v1/explain"):
        assert client.post(path, content=content).status_code == 200, client.post(path, content=content).text
print(json.dumps([name for name in sys.modules if name.startswith(("bestiary.training", "bestiary.reporting"))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
