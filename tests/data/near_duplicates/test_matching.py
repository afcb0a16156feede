"""The check that tells copies from look-alikes."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.image_info import _thumb
from bestiary.data.near_duplicates.hashes import WINDOWS
from bestiary.data.near_duplicates.matching import (
    SHARE,
    agreement,
    components,
    confirm_near_duplicates,
)

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]


def thumb(image: Pixels) -> Pixels:
    return _thumb(np.ascontiguousarray(image))


def look_alike(scene: Scene, seed: int) -> Pixels:
    """The scene of seed 0 in the large, with small detail of its own."""
    blurred = cv2.GaussianBlur(scene(0), None, 7)
    other = scene(seed)
    detail = other.astype(np.int16) - cv2.GaussianBlur(other, None, 7)
    return np.clip(blurred + detail, 0, 255).astype(np.uint8)


def test_a_copy_agrees_with_its_original(scene: Scene, copying: Callable[[Pixels], Pixels]) -> None:
    for seed in range(5):
        image = scene(seed)
        copy = thumb(copying(image))
        best = max(
            agreement(thumb(image), shown, window)
            for shown in (copy, copy[:, ::-1])
            for window in range(len(WINDOWS))
        )
        assert best > SHARE + 0.1


def test_an_image_that_is_alike_in_the_large_only_is_no_copy(scene: Scene) -> None:
    for seed in range(1, 6):
        alike = look_alike(scene, seed)
        correlation = np.corrcoef(thumb(alike).ravel(), thumb(scene(0)).ravel())[0, 1]
        assert correlation > 0.7  # a comparison of the whole would be taken in
        assert agreement(thumb(scene(0)), thumb(alike), 0) < SHARE - 0.1


def test_a_single_spot_in_common_is_not_enough() -> None:
    one, other = np.full((2, 64, 64), 200, np.uint8)
    one[2:6, 2:6] = other[2:6, 2:6] = 20
    assert agreement(one, other, 0) < SHARE


def test_what_cannot_be_aligned_does_not_agree() -> None:
    gray = np.full((64, 64), 128, np.uint8)
    assert agreement(gray, gray, 0) == 0


def test_links_join_copies_and_leave_look_alikes(scene: Scene) -> None:
    images = [scene(0), scene(0)[:, ::-1], look_alike(scene, 3), scene(0)]
    thumbs = np.stack([thumb(image) for image in images])
    pairs = np.array([[0, 3, 0, 0, 0], [0, 1, 0, 1, 1], [1, 3, 0, 1, 1], [0, 2, 0, 0, 9]])
    told: list[tuple[int, int]] = []
    links = confirm_near_duplicates(
        pairs, thumbs, np.arange(4), lambda done, of: told.append((done, of))
    )
    assert components(links, 4).tolist() == [0, 0, 1, 0]
    assert told[-1] == (4, 4)
    rows = np.array([3, 2, 1, 0])  # thumbs may lie in any order
    assert np.array_equal(confirm_near_duplicates(pairs, thumbs[::-1], rows), links)


def test_components_are_numbered_and_cover_the_images() -> None:
    assert components(np.empty((0, 2), np.int64), 3).tolist() == [0, 1, 2]
    assert components(np.array([[2, 0]]), 3).tolist() == [0, 1, 0]
