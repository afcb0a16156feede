"""Perceptual hashes: what changes them, and which pairs become candidates."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bestiary.data.components import components
from bestiary.data.image_info import make_thumb
from bestiary.data.near_duplicates import candidates
from bestiary.data.near_duplicates.alignment import warp
from bestiary.data.near_duplicates.candidates import (
    CANDIDATE_MAX_DISTANCE,
    MAX_PARTNERS,
    _octet_table,
    _reorder_bits,
    candidate_pairs,
)
from bestiary.data.near_duplicates.hashes import (
    MIRROR,
    find_content_box,
    hash_thumbs,
    pack_bits,
)
from bestiary.data.near_duplicates.views import (
    CONTENT_BOX,
    FIRST_ROTATION,
    N_VIEWS,
    N_WINDOWS,
    WHOLE,
    view_map,
)

Scene = Callable[..., NDArray[np.uint8]]


def hashes_of(*images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return hash_thumbs(np.stack([make_thumb(np.ascontiguousarray(image)) for image in images]))


def distance(a: np.uint64, b: np.uint64) -> int:
    return int(np.bitwise_count(a ^ b))


def test_mirror_image_has_the_mirrored_hash(scene: Scene) -> None:
    for seed in range(20):
        image = scene(seed)
        plain, turned = hashes_of(image, image[:, ::-1])[:, 0]
        assert distance(plain ^ MIRROR, turned) <= 1
        assert distance(plain, turned) > CANDIDATE_MAX_DISTANCE


def test_hash_ignores_brightness_and_contrast(scene: Scene) -> None:
    gray = hashes_of(scene(1))[0, 0]
    flat = hashes_of((scene(1) * 0.5 + 60).astype(np.uint8))[0, 0]
    assert distance(gray, flat) <= 1


def test_crop_hash_matches_a_window_of_its_original(scene: Scene) -> None:
    to_window = []
    to_whole = []
    for seed in range(20):
        image = scene(seed)
        rng = np.random.default_rng(seed)
        top = int(rng.integers(15))
        left = int(rng.integers(20))
        original, crop = hashes_of(image, image[top : top + 135, left : left + 180])
        to_window.append(min(distance(crop[0], window) for window in original[1:N_WINDOWS]))
        to_whole.append(distance(crop[0], original[0]))
    assert max(to_window) <= CANDIDATE_MAX_DISTANCE
    assert np.mean(to_window) < 0.6 * np.mean(to_whole)


def test_crop_to_two_thirds_matches_a_window(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    nearest = []
    for seed in range(20):
        image = scene(seed)
        top = int(rng.integers(50))
        left = int(rng.integers(66))
        original, crop = hashes_of(image, image[top : top + 100, left : left + 134])
        nearest.append(min(distance(crop[0], window) for window in original[1:N_WINDOWS]))
    assert np.median(nearest) <= CANDIDATE_MAX_DISTANCE


def test_hash_of_each_view_is_that_of_the_image_under_its_map(scene: Scene) -> None:
    for seed in range(5):
        thumb = make_thumb(scene(seed))
        original = hash_thumbs(thumb[None])[0]
        for view in range(CONTENT_BOX):
            seen = warp(thumb.astype(np.float32), view_map(view, WHOLE))
            shown = hash_thumbs(np.round(seen).astype(np.uint8)[None])[0, 0]
            assert distance(shown, original[view]) <= 6


def test_slight_rotation_matches_a_view(scene: Scene) -> None:
    nearest = []
    for seed in range(10):
        turn = cv2.getRotationMatrix2D((100, 75), 6, 1)
        rotated = cv2.warpAffine(scene(seed), turn, (200, 150), None, cv2.INTER_LINEAR)
        original, turned = hashes_of(scene(seed), rotated)
        views = original[FIRST_ROTATION:CONTENT_BOX]
        nearest.append(min(distance(turned[0], view) for view in views))
    assert np.median(nearest) <= CANDIDATE_MAX_DISTANCE


def test_frame_is_cut_away(scene: Scene) -> None:
    image = scene(3)
    framed = np.pad(image, ((20, 20), (0, 0), (0, 0)))
    plain, with_bars = hashes_of(image, framed)
    assert distance(with_bars[CONTENT_BOX], plain[0]) <= 8
    box = find_content_box(make_thumb(framed))
    assert box.left == 0 and box.right == 1
    assert abs(box.top - 20 / 190) < 0.02 and abs(box.bottom - 170 / 190) < 0.02


def test_image_without_frame_or_content_is_taken_whole(scene: Scene) -> None:
    assert find_content_box(make_thumb(scene(3))) == WHOLE
    dot = np.zeros((64, 64), np.uint8)
    dot[30:34, 30:34] = 255
    assert find_content_box(dot) == WHOLE
    assert find_content_box(np.zeros((64, 64), np.uint8)) == WHOLE


def test_different_images_have_far_hashes(scene: Scene) -> None:
    hashes = hashes_of(*(scene(seed) for seed in range(30)))[:, 0]
    apart = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert abs(np.mean(apart) - 32) < 2


def test_bits_are_packed_highest_first() -> None:
    bits = np.zeros((2, 64), np.uint8)
    bits[0, 0] = bits[1, 63] = 1
    assert pack_bits(bits).tolist() == [1 << 63, 1]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 99))
def test_reordering_bits_moves_each_bit_to_its_place(numbers: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(64)
    hashes = np.array(numbers, np.uint64)
    expected = [
        sum(((n >> (63 - int(source))) & 1) << (63 - goal) for goal, source in enumerate(order))
        for n in numbers
    ]
    assert _reorder_bits(hashes, _octet_table(order)).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 24), st.integers(0, 1000))
def test_candidate_pairs_report_true_distances(images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # These hashes differ in few bits, so that there are many pairs.
    hashes = rng.integers(0, 1 << 20, (images, N_VIEWS), dtype=np.uint64)
    pairs = candidate_pairs(hashes)
    assert len(pairs)
    ends = np.sort(pairs[:, :2], axis=1)
    assert len(np.unique(ends, axis=0)) == len(pairs) and (ends[:, 0] < ends[:, 1]).all()
    assert (np.diff(pairs[:, 4]) >= 0).all()
    for image, partner, window, mirrored, n_bits in pairs:
        whole = hashes[partner, 0] ^ (MIRROR if mirrored else np.uint64(0))
        assert distance(hashes[image, window], whole) == n_bits <= CANDIDATE_MAX_DISTANCE


def planted(images: int, bits: int) -> NDArray[np.uint64]:
    """Random hashes; each of the second half is one of the first half with `bits` bits flipped."""
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 1 << 64, (2 * images, N_VIEWS), dtype=np.uint64)
    flipped = rng.permuted(np.tile(np.arange(64), (images, 1)), axis=1) < bits
    hashes[images:, 0] = hashes[:images, 0] ^ pack_bits(flipped)
    return hashes


def test_close_pairs_are_found_among_thousands() -> None:
    found = {tuple(sorted(pair)) for pair in candidate_pairs(planted(1000, 6))[:, :2].tolist()}
    assert sum((i, i + 1000) in found for i in range(1000)) >= 990


def test_views_together_or_one_by_one_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = planted(40, 10)[:, :6]
    together = candidate_pairs(hashes)
    assert len(together) >= 40
    monkeypatch.setattr(candidates, "QUERY_HASHES", 1)
    monkeypatch.setattr(candidates, "QUERY_IMAGES", 50)
    assert candidate_pairs(hashes).tolist() == together.tolist()


def test_mirrored_and_cropped_candidates_are_found() -> None:
    hashes = planted(50, 64)
    hashes[50, 0] = hashes[0, 0] ^ MIRROR
    hashes[51, 0] = hashes[1, 4]
    rows = candidate_pairs(hashes).tolist()
    assert [0, 50] in [sorted(row[:2]) for row in rows if row[3:] == [1, 0]]
    assert [1, 51, 4, 0, 0] in rows


def test_equal_hashes_are_linked_without_all_pairs() -> None:
    hashes = np.full((1000, N_VIEWS), 12345, np.uint64)
    pairs = candidate_pairs(hashes)
    assert len(pairs) <= 1000 * 2 * MAX_PARTNERS
    assert components(pairs[:, :2], 1000).max() == 0


def test_no_images_have_no_pairs() -> None:
    assert candidate_pairs(np.empty((0, N_VIEWS), np.uint64)).shape == (0, 5)
