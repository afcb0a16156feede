"""Explanations: the saliency mask and the most similar training images."""

import base64
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bestiary.data.eval_view import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import DARK_OPACITY, GLOW_OPACITY, light_mask, overlay
from bestiary.errors import BestiaryError
from bestiary.run.run import Run
from bestiary.serving import explaining
from bestiary.serving.application import build_application
from bestiary.serving.explaining import (
    SimilarImages,
    TrainingImage,
    explain_image,
    saliency_mask,
)
from bestiary.stats.ood import OodDetector


def opacity(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(content))))[..., 3] / 255


def test_mask_glows_where_heat_is_high() -> None:
    heat = np.zeros((8, 8))
    heat[:, :4] = 1.0
    mask = opacity(saliency_mask(np.zeros((100, 200, 3), np.uint8), EvalView(8), heat))
    assert mask.shape == (100, 200)
    assert mask[:, :80].max() == pytest.approx(GLOW_OPACITY, abs=0.01)
    assert mask[:, 120:].min() == pytest.approx(DARK_OPACITY, abs=0.01)


def test_mask_is_dark_outside_the_view() -> None:
    view = EvalView(8, resize="crop", crop=0.5)
    mask = opacity(saliency_mask(np.zeros((100, 200, 3), np.uint8), view, np.ones((8, 8))))
    assert mask[25:75, 75:125].max() == pytest.approx(GLOW_OPACITY, abs=0.01)
    mask[25:75, 75:125] = DARK_OPACITY
    assert mask.min() == pytest.approx(DARK_OPACITY, abs=0.01)


def test_page_and_report_show_saliency_alike() -> None:
    heat = np.linspace(0, 1, 64).reshape(8, 8).astype(np.float32)
    view = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    laid_over = Image.alpha_composite(
        Image.fromarray(view).convert("RGBA"), Image.fromarray(light_mask(heat))
    )
    np.testing.assert_allclose(
        np.asarray(laid_over)[..., :3].astype(int), overlay(view, heat).astype(int), atol=2
    )


def test_mask_of_large_image_is_small() -> None:
    assert opacity(
        saliency_mask(np.zeros((3000, 1500, 3), np.uint8), EvalView(8), np.ones((8, 8)))
    ).shape == (320, 160)


def test_training_image_is_known_by_its_bytes(trained: Run, ensemble: Ensemble) -> None:
    training = SimilarImages.of(trained, ensemble)
    path = training.images[5].path
    content = (trained.read_root() / path).read_bytes()
    assert explain_image(ensemble, training, content).trained_on == path
    assert explain_image(ensemble, training, content + b"\0").trained_on is None
    assert explain_image(ensemble, None, content).trained_on is None


def test_examples_are_of_different_classes(trained: Run, ensemble: Ensemble) -> None:
    training = SimilarImages.of(trained, ensemble)
    assert [one.label for one in training.examples()] == ensemble.classes_.tolist()
    app = build_application(ensemble, training=training)
    with TestClient(app) as client:
        shown = client.get("/v1/examples").json()["examples"]
    assert len(shown) == 3 and all(one["image"].startswith("data:image/jpeg") for one in shown)
    with TestClient(build_application(ensemble)) as client:
        assert client.get("/v1/examples").json() == {"examples": []}


def test_nearest_uses_the_out_of_fold_member() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 7))
    members = np.arange(60) % 3
    spreads = np.array([1.0, 5.0, 0.2])[members][:, None]
    detector = OodDetector.fit(logits * spreads, np.arange(60) % 7, members)
    # Image 50 is a duplicate of image 20.
    images = [TrainingImage(f"{row}.jpg", "x", "", row if row != 50 else 20) for row in range(60)]
    own = logits * detector.scales[members][:, None]  # each member with its own spread
    training = SimilarImages.from_logits(Path("nowhere"), images, members, detector, own)
    for row in (0, 1, 20, 50):
        query = rng.normal(size=(3, 1, 7)) * detector.scales[:, None, None]
        query[members[row], 0] = own[row]
        nearest = training.nearest(query.astype(np.float32))
        assert nearest[0] == ("x", f"{row}.jpg", None)
        assert len(nearest) == 3
        assert len({image.path for image in nearest} - {"20.jpg", "50.jpg"}) >= 2


def test_changed_training_images_are_not_shown(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    training = SimilarImages.of(trained, ensemble)
    root = shutil.copytree(beasts, tmp_path / "images")
    moved = replace(training, root=root)
    content = (beasts / training.images[0].path).read_bytes()
    before = explain_image(ensemble, moved, content).similar
    assert before and all(image.uri for image in before)
    (root / before[0].path).unlink()
    (root / before[1].path).write_bytes((root / before[2].path).read_bytes())
    after = explain_image(ensemble, moved, content).similar
    assert after and [image.uri is None for image in after] == [True, True, False]


def test_reasons_for_no_similar_images(
    trained: Run, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Ensemble(ensemble.members, ensemble.classes_.tolist(), ensemble.view, engine="torch")
    with pytest.raises(BestiaryError, match="not finished"):
        SimilarImages.of(trained, bare)
    pruned = Ensemble.load(trained, engine="torch")
    pruned.members = pruned.members[:2]
    with pytest.raises(BestiaryError, match="members"):
        SimilarImages.of(trained, pruned)
    monkeypatch.setattr(explaining, "MAX_LOGITS", 80)
    with pytest.raises(BestiaryError, match="81 logits"):
        SimilarImages.of(trained, ensemble)


def test_explain_takes_one_image(client: TestClient, image: bytes) -> None:
    explanation = client.post("/v1/explain", content=image).json()
    assert (
        explanation["label"]
        == client.post("/v1/predict", content=image).json()["predictions"][0]["label"]
    )
    assert explanation["similar"] is None
    two = [("images", ("a", image)), ("images", ("b", image))]
    assert client.post("/v1/explain", files=two).json()["code"] == "too_many_images"
    assert client.post("/v1/explain", content=b"text").status_code == 415
    assert client.post("/v1/explain", content=image[:400]).status_code == 422


def test_explain_shows_similar_images(trained: Run, ensemble: Ensemble, image: bytes) -> None:
    app = build_application(ensemble, training=SimilarImages.of(trained, ensemble))
    with TestClient(app) as client:
        explanation = client.post("/v1/explain", content=image).json()
        assert len(explanation["similar"]) == 3 and explanation["similar"][0]["image"]
        assert client.get("/v1/model").json()["similar"] is None
