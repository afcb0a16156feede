"""Screening and proof: near duplicates are proved, images of one outline are not."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bestiary.data.image_info import make_thumb
from bestiary.data.near_duplicates.evidence import SIDE
from bestiary.data.near_duplicates.proof import NEAR_DUPLICATE_PROBABILITY, Proof, prove, to_square
from bestiary.data.near_duplicates.screening import screen
from bestiary.data.near_duplicates.views import N_VIEWS

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]


def thumb(image: Pixels) -> Pixels:
    return make_thumb(np.ascontiguousarray(image))


def best_proof(image: Pixels, partner: Pixels) -> Proof | None:
    """The proof from the view under which the thumbs agree best."""
    best = None
    for view in range(N_VIEWS):
        screened = screen(thumb(image), thumb(partner), view)
        if screened is not None and (best is None or screened.agreement > best.agreement):
            best = screened
    if best is None:
        return None
    return prove(to_square(image), to_square(np.ascontiguousarray(partner)), best.affine)


def specimen(seed: int) -> Pixels:
    """A shape on white: its outline is that of all specimens, its pattern another for each seed."""
    angle = np.linspace(0, 2 * np.pi, 200)
    radius = 80 * (1 + 0.35 * np.cos(4 * angle))
    outline = np.stack([120 + radius * np.sin(angle), 120 - radius * np.cos(angle)], axis=1)
    mask = np.zeros((240, 240), np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
    rng = np.random.default_rng(seed)
    pattern = cv2.resize(rng.normal(90, 45, (24, 24, 3)), (240, 240), interpolation=cv2.INTER_CUBIC)
    image = np.full((240, 240, 3), 245, np.uint8)
    image[mask > 0] = np.clip(pattern, 0, 255).astype(np.uint8)[mask > 0]
    return image


def test_near_duplicate_is_proved(scene: Scene, alter: Callable[[Pixels], Pixels]) -> None:
    for seed in range(3):
        image = scene(seed)
        altered = np.ascontiguousarray(alter(image))
        proofs = [best_proof(image, partner) for partner in (altered, altered[:, ::-1])]
        probabilities = [proof.probability for proof in proofs if proof is not None]
        assert max(probabilities) > NEAR_DUPLICATE_PROBABILITY


def test_crop_is_proved_with_its_map(scene: Scene) -> None:
    image = scene(2)
    proof = best_proof(image, image[30:135, 40:180])
    assert proof is not None
    assert proof.probability > NEAR_DUPLICATE_PROBABILITY
    expected = [[0.7, 0, 0.2], [0, 0.7, 0.2]]
    assert np.abs(proof.affine - expected).max() < 0.01


def test_one_outline_with_other_patterns_is_not_proved() -> None:
    image = specimen(0)
    same = cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA)
    proof = best_proof(image, same)
    assert proof is not None and proof.probability > NEAR_DUPLICATE_PROBABILITY
    for seed in range(1, 6):
        other = best_proof(image, specimen(seed))
        assert other is None or other.probability < 0.5


def test_images_without_detail_prove_nothing() -> None:
    flat = to_square(np.full((SIDE, SIDE, 3), 128, np.uint8))
    assert prove(flat, flat, np.eye(2, 3)) is None


def test_images_that_hardly_overlap_prove_nothing(scene: Scene) -> None:
    square = to_square(scene(0))
    far = np.array([[1.0, 0, 0.9], [0, 1.0, 0.9]])
    assert prove(square, to_square(scene(1)), far) is None


@pytest.mark.parametrize("view", [0, 1])
def test_unlike_thumbs_are_screened_out(scene: Scene, view: int) -> None:
    assert screen(thumb(scene(0)), thumb(scene(1)), view) is None
