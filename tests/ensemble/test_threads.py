"""One ensemble in many threads: the answers of each image are its own, with both engines."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.saliency import saliency
from bestiary.model.engine import openvino_is_installed
from bestiary.model.joint import JointClassifier

needs_openvino = pytest.mark.skipif(not openvino_is_installed(), reason="openvino is not installed")
ENGINES = ["torch", pytest.param("openvino", marks=needs_openvino)]

THREADS = 8


def check_threads(ensemble: Ensemble, images: list[np.ndarray]) -> None:
    """All threads begin together, each with its own order of the images, singly and in batches."""
    expected = ensemble.predict_proba(images)
    assert len({row.tobytes() for row in expected.round(6)}) > len(images) * 0.9
    begin = Barrier(THREADS)

    def answer(thread: int) -> None:
        order = np.random.default_rng(thread).permutation(len(images))
        begin.wait()
        for index in order[: len(order) // 2]:
            alone = ensemble.predict_proba(images[index])
            np.testing.assert_allclose(alone, expected[[index]], atol=1e-5)
        mine = [images[index] for index in order]
        np.testing.assert_allclose(ensemble.predict_proba(mine), expected[order], atol=1e-5)
        names = ensemble.classes_[expected[order].argmax(axis=1)]
        assert ensemble.predict(mine).tolist() == names.tolist()
        scored = np.concatenate([batch.logits for batch in ensemble.iter_logits(mine)], axis=1)
        np.testing.assert_allclose(ensemble.probabilities(scored), expected[order], atol=1e-5)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(answer, range(THREADS)))


@pytest.mark.parametrize("tta", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_threads_answer_as_one(
    in_memory: Callable[..., Ensemble],
    noise: Callable[[int], list[np.ndarray]],
    engine: str,
    tta: int,
) -> None:
    ensemble = in_memory(engine, tta)
    assert ensemble.engine == {"torch": "PyTorch float32", "openvino": "OpenVINO float32"}[engine]
    check_threads(ensemble, noise(24))


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_of_shared_members(
    in_memory: Callable[..., Ensemble], noise: Callable[[int], list[np.ndarray]], engine: str
) -> None:
    ensemble = in_memory(engine, shared=True)
    assert JointClassifier(ensemble.members, 32).shares
    check_threads(ensemble, noise(24))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_500_images_in_8_threads(
    in_memory: Callable[..., Ensemble], noise: Callable[[int], list[np.ndarray]], engine: str
) -> None:
    check_threads(in_memory(engine), noise(500))


class SlowFile(io.BytesIO):
    """Lets other threads run between the steps of a reader."""

    def seek(self, *args: int) -> int:
        time.sleep(0.001)
        return super().seek(*args)

    def read(self, *args: int) -> bytes:
        time.sleep(0.001)
        return super().read(*args)


@pytest.mark.parametrize("open_image", [SlowFile, lambda content: Image.open(SlowFile(content))])
def test_same_lazy_image_in_many_places(
    plain: Ensemble, noise: Callable[[int], list[np.ndarray]], open_image: Callable[[bytes], Any]
) -> None:
    """Pillow reads a file when its pixels are asked for, and its EXIF too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    written = io.BytesIO()
    Image.fromarray(noise(1)[0]).save(written, "PNG", exif=exif)
    content = written.getvalue()
    expected = plain.predict_proba(content)
    image = open_image(content)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(plain.predict_proba, [[image] * 4] * THREADS))
    np.testing.assert_allclose(np.concatenate(answers), np.repeat(expected, 32, 0), atol=1e-6)


def test_saliency_beside_predictions(
    plain: Ensemble, noise: Callable[[int], list[np.ndarray]]
) -> None:
    """A prediction in another thread, while saliency is inside the network, changes nothing."""
    (image,) = noise(1)
    view = np.asarray(Image.fromarray(image).resize((96, 96)))
    expected = saliency(plain.members[0], [view], [1])
    assert expected is not None
    own_thread = get_ident()

    def predict_elsewhere(*_: object) -> None:
        if get_ident() == own_thread:
            pool.submit(plain.predict, image).result()

    with ThreadPoolExecutor(1) as pool:
        hook = plain.members[0].head_layer.register_forward_pre_hook(predict_elsewhere)
        found = saliency(plain.members[0], [view], [1])
        hook.remove()
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-4)
