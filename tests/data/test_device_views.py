"""Device views: a padded batch sampled at once equals the views that the CPU makes one by one."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bestiary.data.device_views import MAX_SAMPLES, pad_batch
from bestiary.data.views import TrainView
from bestiary.rng import keyed_rng

SHAPES = [(180, 240), (240, 180), (150, 150), (97, 333)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Smooth images of several shapes, each with an edge, as photographs have."""
    images = []
    for number, (height, width) in enumerate(SHAPES):
        y, x = np.mgrid[:height, :width]
        waves = [np.sin(x / (5 + c + number)) + np.cos(y / (7 - c)) for c in range(3)]
        image = 128 + 55 * np.stack(waves, axis=2)
        image[height // 3 : height // 2] *= 0.4
        images.append(image.clip(0, 255).astype(np.uint8))
    return images


@pytest.mark.parametrize("rotation", [0.0, 15.0, 170.0])
@pytest.mark.parametrize("size", [48, 96, 224])
def test_device_views_equal_cpu_views(
    images: list[np.ndarray], rotation: float, size: int, psnr: Callable[..., float]
) -> None:
    view = TrainView(size, 0.5, rotation, (0.08, 1.0), (3 / 4, 4 / 3))
    rows = np.arange(len(images)).repeat(6)

    n_draws: dict[int, int] = {}

    def rng_of(row: int) -> np.random.Generator:
        n_draws[row] = n_draws.get(row, 0) + 1
        return keyed_rng(1, "view", row, n_draws[row])

    batch = pad_batch(rows, lambda row: images[row], view, rng_of).on(CPU).numpy()
    assert batch.shape == (len(rows), size, size, 3) and batch.dtype == np.uint8
    n_draws.clear()
    one_by_one = [view(images[row], rng_of(row)) for row in rows]
    ratios = [psnr(ours, theirs) for ours, theirs in zip(batch, one_by_one, strict=True)]
    assert np.median(ratios) > 32 and min(ratios) > 24, sorted(ratios)[:4]


def test_device_view_of_whole_image_is_itself(images: list[np.ndarray]) -> None:
    view = TrainView(150, 0.0, 0.0, (1.0, 1.0), (1.0, 1.0))
    padded = pad_batch(
        np.array([2, 0]), lambda row: images[row], view, lambda row: keyed_rng(0, "view", row)
    )
    assert padded.pixels.shape == (2, 180, 240, 3)
    np.testing.assert_array_equal(padded.on(CPU)[0].numpy(), images[2])


def test_device_views_do_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    view = TrainView(100, 0.0, 0.0, (1.0, 1.0), (1.0, 1.0))
    padded = pad_batch(
        np.array([0]), lambda row: stripes, view, lambda row: keyed_rng(0, "view", row)
    )
    assert padded.samples == MAX_SAMPLES == 4
    views = padded.on(CPU).numpy()
    assert np.abs(views.astype(float) - 127.5).max() < 2


def test_padding_beyond_rotated_image_is_black(
    images: list[np.ndarray],
) -> None:
    white = [np.full((100, 100, 3), 255, np.uint8), np.full((300, 300, 3), 255, np.uint8)]
    view = TrainView(64, 0.0, 45.0, (1.0, 1.0), (1.0, 1.0))
    padded = pad_batch(
        np.array([0, 1]), lambda row: white[row], view, lambda row: keyed_rng(3, "view", 0)
    )
    small, large = padded.on(CPU).numpy()
    assert (small[0, 0] == 0).all() and (large[0, 0] == 0).all()
    assert (small[32, 32] == 255).all()
    assert abs(small.mean() - large.mean()) < 3
