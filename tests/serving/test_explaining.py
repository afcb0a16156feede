"""Why an image is taken for what it is: a mask of its own shape, and the training images most
like it.
"""

import base64
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bestiary.data.views import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.run.run import Run
from bestiary.serving import explaining
from bestiary.serving.application import build_application
from bestiary.serving.explaining import DARK, TrainingImages, explain, mask_over
from bestiary.stats.ood import OodDetector


def opacity(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(content))))[..., 3] / 255


def test_a_mask_has_the_shape_of_its_image_and_is_clear_where_the_heat_is() -> None:
    heat = np.zeros((8, 8))
    heat[:, :4] = 1.0
    mask = opacity(mask_over(np.zeros((100, 200, 3), np.uint8), EvalView(8), heat))
    assert mask.shape == (100, 200)
    assert mask[:, :80].max() < 0.01 and mask[:, 120:].min() == pytest.approx(DARK, abs=0.01)


def test_what_the_network_never_sees_stays_dark() -> None:
    view = EvalView(8, resize="crop", crop=0.5)
    mask = opacity(mask_over(np.zeros((100, 200, 3), np.uint8), view, np.ones((8, 8))))
    assert mask[25:75, 75:125].max() == 0
    mask[25:75, 75:125] = DARK
    assert mask.min() == pytest.approx(DARK, abs=0.01)


def test_large_images_get_small_masks() -> None:
    assert opacity(
        mask_over(np.zeros((3000, 1500, 3), np.uint8), EvalView(8), np.ones((8, 8)))
    ).shape == (320, 160)


def test_the_nearest_is_found_through_the_member_that_was_not_trained_on_it() -> None:
    draw = np.random.default_rng(0)
    logits, members = draw.normal(size=(60, 7)), np.arange(60) % 3
    known = OodDetector.fit(
        logits * np.array([1.0, 5.0, 0.2])[members][:, None], np.arange(60) % 7, members
    )
    rows = [
        (f"{row}.jpg", "x", "", row if row != 50 else 20) for row in range(60)
    ]  # 50 is a copy of 20
    own = logits * known.scales[members][:, None]  # each member with a spread of its own
    training = TrainingImages.at(Path("nowhere"), rows, members, known, own)
    for row in (0, 1, 20, 50):
        asked = draw.normal(size=(3, 1, 7)) * known.scales[:, None, None]
        asked[members[row], 0] = own[row]
        found = training.nearest(asked.astype(np.float32))
        assert found[0] == ("x", f"{row}.jpg", None)
        assert len({path for _, path, _ in found} - {"20.jpg", "50.jpg"}) >= 2 and len(found) == 3


def test_training_images_that_changed_or_vanished_are_not_shown(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    known = TrainingImages.of(trained, ensemble)
    root = shutil.copytree(beasts, tmp_path / "images")
    moved = replace(known, root=root)
    content = (beasts / known.rows[0][0]).read_bytes()
    before = explain(ensemble, moved, content).similar
    assert before and all(image for *_, image in before)
    (root / before[0][1]).unlink()
    (root / before[1][1]).write_bytes((root / before[2][1]).read_bytes())
    after = explain(ensemble, moved, content).similar
    assert after and [image is None for *_, image in after] == [True, True, False]


def test_why_none_can_be_shown(
    trained: Run, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Ensemble(ensemble.members, ensemble.classes_.tolist(), ensemble.view, engine="torch")
    with pytest.raises(BestiaryError, match="not finished"):
        TrainingImages.of(trained, bare)
    pruned = Ensemble.load(trained, engine="torch")
    pruned.members = pruned.members[:2]
    with pytest.raises(BestiaryError, match="members"):
        TrainingImages.of(trained, pruned)
    monkeypatch.setattr(explaining, "MOST_NUMBERS", 80)
    with pytest.raises(BestiaryError, match="81 logits"):
        TrainingImages.of(trained, ensemble)


def test_the_service_explains_one_image(client: TestClient, image: bytes) -> None:
    told = client.post("/v1/explain", content=image).json()
    assert (
        told["label"] == client.post("/v1/predict", content=image).json()["predictions"][0]["label"]
    )
    assert told["similar"] is None
    two = [("images", ("a", image)), ("images", ("b", image))]
    assert client.post("/v1/explain", files=two).json()["code"] == "too_many_images"
    assert client.post("/v1/explain", content=b"text").status_code == 415
    assert client.post("/v1/explain", content=image[:400]).status_code == 422


def test_similar_images_come_with_the_answer(
    trained: Run, ensemble: Ensemble, image: bytes
) -> None:
    app = build_application(ensemble, training=TrainingImages.of(trained, ensemble))
    with TestClient(app) as client:
        told = client.post("/v1/explain", content=image).json()
        assert len(told["similar"]) == 3 and told["similar"][0]["image"]
        assert client.get("/v1/model").json()["similar"] is None
