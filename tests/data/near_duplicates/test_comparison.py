"""Comparison: which pairs are proved, and files that are gone."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.data.decode import read_image
from bestiary.data.near_duplicates.comparison import (
    MAX_PROOFS,
    Promising,
    Squares,
    compare,
    compare_pairs,
    select_most_promising,
)
from bestiary.data.near_duplicates.views import FLIP, is_mirrored

Save = Callable[..., Path]
Scene = Callable[..., NDArray[np.uint8]]
WHOLE = np.eye(2, 3)


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
    found = compare_pairs(
        pairs, 10, Squares(lambda image: read_image(files[image])), lambda *_: None
    )
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
