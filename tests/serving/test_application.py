"""The application: predict answers, token, host, headers, metrics and loaded modules."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run
from bestiary.serving.application import build_application
from bestiary.serving.limits import Limits
from bestiary.serving.service_info import ServiceInfo

TOKEN = "a-token-of-some-length"


def test_answers_equal_bestiary_predict(
    client: TestClient, trained: Run, beasts: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"coverage": 0.8, "sets": "class", "risk": 0.1}
    bestiary.predict(
        trained.path, beasts, out=tmp_path / "p.parquet", engine="torch", quiet=True, **options
    )
    rows = (
        pl.read_parquet(tmp_path / "p.parquet").filter(pl.col("error").is_null()).rows(named=True)
    )
    assert len(rows) == 27
    for start in range(0, 27, 4):
        files = [
            ("images", (row["path"], (beasts / row["path"]).read_bytes()))
            for row in rows[start : start + 4]
        ]
        predictions = client.post("/v1/predict", files=files, params=options).json()["predictions"]
        for row, one in zip(rows[start : start + 4], predictions, strict=True):
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


def test_coverage_changes_prediction_sets(
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


def test_uncalibrated_ensemble_answers_null(ensemble: Ensemble, image: bytes) -> None:
    bare = Ensemble(ensemble.members, ensemble.classes_.tolist(), ensemble.view, engine="torch")
    with TestClient(build_application(bare)) as client:
        (one,) = client.post("/v1/predict", content=image).json()["predictions"]
        assert one["label"] and one["prediction_set"] is one["accepted"] is one["unknown"] is None
        assert client.get("/v1/model").json()["calibrated"] is False


def test_probes_classes_and_model_info(
    client: TestClient, ensemble: Ensemble, trained: Run
) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/v1/classes").json() == {"classes": ensemble.classes_.tolist()}
    model = client.get("/v1/model").json()
    assert model["members"] == 3 and model["limits"] == {
        "bytes": 300_000,
        "pixels": 1_000_000,
        "images": 4,
    }
    info = ServiceInfo.of(trained, "none")
    assert info.score and info.score.images == 27
    assert info.score.accuracy == trained.read_json("metrics.json")["oof"]["accuracy"]["value"]


def test_readyz_follows_engine(ensemble: Ensemble, image: bytes) -> None:
    client = TestClient(build_application(ensemble))  # not entered, so its lifespan has not begun
    assert client.get("/healthz").status_code == 200
    for answer in (client.get("/readyz"), client.post("/v1/predict", content=image)):
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    with client:
        assert client.get("/readyz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_unknown_paths_get_problem_json(client: TestClient) -> None:
    assert client.get("/v2/predict").json()["code"] == "not_found"
    wrong = client.get("/v1/predict")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST"
    assert wrong.headers["content-type"] == "application/problem+json"


def test_metrics_hold_nothing_of_requests(client: TestClient, image: bytes) -> None:
    client.post("/v1/predict", files={"images": ("secret-name.jpg", image)})
    client.get("/v1/secret-path")
    text = client.get("/metrics").text
    assert "secret" not in text
    assert 'bestiary_requests_total{method="POST",route="/v1/predict",status="200"}' in text
    assert 'bestiary_images_total{outcome="answered"}' in text
    assert 'route="other",status="404"' in text
    assert "bestiary_held_bytes 0.0" in text and "bestiary_waiting_images 0.0" in text


def test_token_is_required(ensemble: Ensemble, image: bytes) -> None:
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


def test_host_header_is_checked(ensemble: Ensemble) -> None:
    with TestClient(build_application(ensemble, hosts={"localhost", "::1"})) as client:
        for host, status in (
            ("localhost:80", 200),
            ("LOCALHOST", 200),
            ("[::1]:9", 200),
            ("evil.example", 421),
        ):
            assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_security_headers_on_every_answer(client: TestClient) -> None:
    for path in ("/", "/page.css", "/v1/classes", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (
            headers["x-content-type-options"] == "nosniff"
            and headers["referrer-policy"] == "no-referrer"
        )


def test_report_is_shown_as_of_no_site(trained: Run, ensemble: Ensemble, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<script>fetch('/v1/model')</script>")
    info = replace(ServiceInfo.of(trained, ""), report=report)
    with TestClient(build_application(ensemble, info=info)) as client:
        assert client.get("/v1/model").json()["report"] is True
        answer = client.get("/report")
        policy = answer.headers["content-security-policy"]
        assert answer.text == report.read_text()
        assert policy.startswith("sandbox allow-scripts") and "allow-same-origin" not in policy
        assert "default-src 'none'" in policy and answer.headers["x-frame-options"] == "DENY"
        report.unlink()
        assert client.get("/report").status_code == 404
        report.symlink_to("/dev/zero")
        assert client.get("/report").status_code == 404


def test_no_report_behind_a_token_or_without_one(trained: Run, ensemble: Ensemble) -> None:
    info = replace(ServiceInfo.of(trained, ""), report=Path("report.html"))
    for options in ({"info": info, "token": "a-token-of-some-length"}, {}):
        with TestClient(build_application(ensemble, **options)) as client:
            headers = {"Authorization": "Bearer a-token-of-some-length"}
            assert client.get("/v1/model", headers=headers).json()["report"] is False
            assert client.get("/report", headers=headers).status_code == 404


def test_defect_is_500_without_details(
    ensemble: Ensemble,
    image: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with TestClient(build_application(ensemble)) as client:
        monkeypatch.setattr(ensemble, "iter_logits", lambda _: 1 / 0)
        answer = client.post("/v1/predict", content=image)
        assert answer.status_code == 500 and answer.json()["code"] == "defect"
        assert "division" not in answer.text and "division" in caplog.text
        assert "content-security-policy" in answer.headers
        monkeypatch.undo()
        assert client.post("/v1/predict", content=image).status_code == 200


def test_byte_budget_answers_503(ensemble: Ensemble, image: bytes) -> None:
    limits = Limits(max_buffered_bytes=len(image) - 1)
    with TestClient(build_application(ensemble, limits=limits)) as client:
        answer = client.post("/v1/predict", content=image)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "bestiary_held_bytes 0.0" in client.get("/metrics").text


FORBIDDEN = ("bestiary.training", "bestiary.reporting")
PRINT_FORBIDDEN = f"""
import json, sys
print(json.dumps([name for name in sys.modules if name.startswith({FORBIDDEN!r})]))
"""
# What `bestiary serve` does, with a request to each route that computes.
SERVE = """
import sys
from dataclasses import replace
from pathlib import Path
from starlette.testclient import TestClient
import bestiary.api.serve
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run
from bestiary.serving import batches as batches_module
from bestiary.serving.application import application_for_run
from bestiary.serving.limits import Limits
from bestiary.serving.server import Address, read_token, serve

run = Run.open(sys.argv[1])
content = Path(sys.argv[2]).read_bytes()
ensemble = Ensemble.load(run, engine="torch")
app = application_for_run(run, ensemble, Limits(), None, Address(), True, Display(True))
with TestClient(app, base_url="http://localhost") as client:
    for path in ("/v1/predict", "/v1/explain"):
        answer = client.post(path, content=content)
        assert answer.status_code == 200, answer.text
"""
# What a replica on Ray imports when it unpickles its settings. Nothing starts Ray.
REPLICA = """
import sys
from dataclasses import replace
import bestiary.cluster.replicas
assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
"""


def modules_after(code: str, *arguments: str) -> list[str]:
    """Forbidden modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", code + PRINT_FORBIDDEN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.slow
def test_server_loads_no_training_code(trained: Run, image: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(image)
    assert modules_after(SERVE, str(trained.path), str(tmp_path / "image")) == []


@pytest.mark.slow
def test_replica_loads_no_training_code() -> None:
    assert modules_after(REPLICA) == []
