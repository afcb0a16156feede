"""Matching: near duplicates agree block by block, similar images do not."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.image_info import make_thumb
from bestiary.data.near_duplicates.hashes import WINDOWS
from bestiary.data.near_duplicates.matching import (
    NEAR_DUPLICATE_AGREEMENT,
    agreement,
    components,
    confirm_near_duplicates,
)

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]


def thumb(image: Pixels) -> Pixels:
    return make_thumb(np.ascontiguousarray(image))


def similar_image(scene: Scene, seed: int) -> Pixels:
    """The coarse structure of scene 0 with the details of another scene."""
    blurred = cv2.GaussianBlur(scene(0), None, 7)
    other = scene(seed)
    detail = other.astype(np.int16) - cv2.GaussianBlur(other, None, 7)
    return np.clip(blurred + detail, 0, 255).astype(np.uint8)


def test_near_duplicate_agrees_with_its_original(
    scene: Scene, alter: Callable[[Pixels], Pixels]
) -> None:
    for seed in range(5):
        image = scene(seed)
        altered = thumb(alter(image))
        best = max(
            agreement(thumb(image), partner, window)
            for partner in (altered, altered[:, ::-1])
            for window in range(len(WINDOWS))
        )
        assert best > NEAR_DUPLICATE_AGREEMENT + 0.1


def test_coarse_similarity_is_no_near_duplicate(scene: Scene) -> None:
    for seed in range(1, 6):
        similar = thumb(similar_image(scene, seed))
        original = thumb(scene(0))
        correlation = np.corrcoef(similar.ravel(), original.ravel())[0, 1]
        assert correlation > 0.7  # a comparison of whole images would be misled
        assert agreement(original, similar, 0) < NEAR_DUPLICATE_AGREEMENT - 0.1


def test_single_common_block_is_not_enough() -> None:
    one, other = np.full((2, 64, 64), 200, np.uint8)
    one[2:6, 2:6] = 20
    other[2:6, 2:6] = 20
    assert agreement(one, other, 0) < NEAR_DUPLICATE_AGREEMENT


def test_images_that_cannot_be_aligned_disagree() -> None:
    gray = np.full((64, 64), 128, np.uint8)
    assert agreement(gray, gray, 0) == 0


def test_confirm_links_near_duplicates_only(scene: Scene) -> None:
    images = [scene(0), scene(0)[:, ::-1], similar_image(scene, 3), scene(0)]
    thumbs = np.stack([thumb(image) for image in images])
    pairs = np.array(
        [
            # image, partner, window, mirrored, distance
            [0, 3, 0, 0, 0],
            [0, 1, 0, 1, 1],
            [1, 3, 0, 1, 1],
            [0, 2, 0, 0, 9],
        ]
    )
    calls: list[tuple[int, int]] = []
    links = confirm_near_duplicates(
        pairs, thumbs, np.arange(4), lambda done, of: calls.append((done, of))
    )
    assert components(links, 4).tolist() == [0, 0, 1, 0]
    assert calls[-1] == (4, 4)

    # Thumbs may be in any order.
    thumb_of_image = np.array([3, 2, 1, 0])
    reordered = confirm_near_duplicates(pairs, thumbs[::-1], thumb_of_image)
    assert np.array_equal(reordered, links)


def test_components_number_all_images() -> None:
    assert components(np.empty((0, 2), np.int64), 3).tolist() == [0, 1, 2]
    assert components(np.array([[2, 0]]), 3).tolist() == [0, 1, 0]
