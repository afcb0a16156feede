"""Comparison: which pairs are proved, and files that are gone."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bestiary.data.decode import read_image
from bestiary.data.near_duplicates import comparison as comparison_module
from bestiary.data.near_duplicates.comparison import (
    MAX_PROOFS,
    Promising,
    Squares,
    compare,
    compare_pairs,
    select_most_promising,
)
from bestiary.data.near_duplicates.views import FLIP, is_mirrored
from bestiary.errors import ImageError

Save = Callable[..., Path]
Scene = Callable[..., NDArray[np.uint8]]
WHOLE = np.eye(2, 3)


def _no_tick(done: int, total: int) -> None:
    """Show no progress."""


def test_only_the_most_promising_pairs_of_an_image_are_proved() -> None:
    rng = np.random.default_rng(0)
    pairs = [
        Promising(one, other, WHOLE, float(rng.random()))
        for one, other in combinations(range(12), 2)
    ]
    selected = select_most_promising(pairs)
    assert len(selected) < len(pairs)
    for image in range(12):
        own = [pair for pair in pairs if image in (pair.image, pair.partner)]
        kept = [pair for pair in selected if image in (pair.image, pair.partner)]
        assert len(kept) >= MAX_PROOFS
        best = max(pair.agreement for pair in own)
        assert best == max(pair.agreement for pair in kept)


def test_mirrored_pair_is_compared_in_its_own_direction(save: Save, scene: Scene) -> None:
    files = [save("one.png", scene(1)), save("two.png", scene(1)[:, ::-1].copy())]
    comparison = compare(Promising(0, 1, FLIP), Squares(lambda image: read_image(files[image])))
    assert comparison is not None and comparison.verdict.is_proved
    assert is_mirrored(comparison.affine)
    assert np.abs(comparison.affine - FLIP).max() < 0.01


def test_pairs_across_groups_are_compared_too(save: Save, scene: Scene) -> None:
    """As many as decide: with one link and one more of four pairs, half of them are proved."""
    files = [save(f"{number}.jpg", scene(1), quality=95 - number) for number in range(8)]
    files += [save("a.jpg", scene(2)), save("b.jpg", scene(2), quality=80)]
    links = [(0, 1), (2, 3), (1, 2), (8, 9), (4, 5), (6, 7), (5, 6)]
    pairs = [Promising(*link, WHOLE, 0.9) for link in links]
    found = compare_pairs(pairs, 10, Squares(lambda image: read_image(files[image])), _no_tick)
    compared = {comparison.verdict.ends for comparison in found}
    assert compared > set(links)
    added = sorted(compared - set(links))
    assert len(added) == 2, "one more for each of the two chains"
    assert set(added[0]) < set(range(4)) and set(added[1]) < set(range(4, 8))
    assert all(comparison.verdict.is_proved for comparison in found)
    maps = {comparison.verdict.ends: comparison.affine for comparison in found}
    assert all(np.abs(affine - WHOLE).max() < 0.01 for affine in maps.values())


def test_file_that_is_gone_is_counted(save: Save, scene: Scene) -> None:
    files = [save("one.png", scene(1)), Path("gone.png")]
    squares = Squares(lambda image: read_image(files[image]))
    assert compare(Promising(0, 1, WHOLE), squares) is None
    assert squares.unread == {1}
    assert squares(0) is squares(0)  # read once


def test_images_of_one_component_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long chain whose links come in any order; a few images fit into memory at a time."""
    monkeypatch.setattr(comparison_module, "MAX_SQUARES", 8)
    reads: list[int] = []

    def read(image: int) -> bytes:
        reads.append(image)
        raise ImageError("gone")

    chain = np.random.default_rng(0).permutation(200)
    links = np.random.default_rng(1).permutation(np.stack([chain[:-1], chain[1:]], axis=1))
    pairs = [Promising(image, partner, WHOLE) for image, partner in links.tolist()]
    assert compare_pairs(pairs, 200, Squares(read), _no_tick) == []
    assert sorted(reads) == list(range(200))


def test_comparisons_keep_the_order_of_the_pairs(save: Save, scene: Scene) -> None:
    files = [save(f"{number}.jpg", scene(number // 4), quality=90) for number in range(12)]
    links = [(1, 3), (0, 2), (0, 3), (8, 10), (9, 11), (2, 3), (0, 1), (8, 9), (4, 7), (5, 7)]
    pairs = [Promising(*link, WHOLE) for link in links]
    squares = Squares(lambda image: read_image(files[image]))
    compared = [(one.image, one.partner) for one in compare_pairs(pairs, 12, squares, _no_tick)]
    for component in (range(4), range(4, 8), range(8, 12)):
        named = [link for link in links if link[0] in component]
        assert [link for link in compared if link in named] == named
