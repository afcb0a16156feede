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


def test_pairs_across_a_group_are_compared_too(save: Save, scene: Scene) -> None:
    files = [save(f"{number}.jpg", scene(1), quality=95 - number) for number in range(3)]
    pairs = [Promising(0, 1, WHOLE, 0.9), Promising(1, 2, WHOLE, 0.9)]
    found = compare_pairs(
        pairs, 3, Squares(lambda image: read_image(files[image])), lambda *_: None
    )
    assert {comparison.verdict.ends for comparison in found} == {(0, 1), (1, 2), (0, 2)}


def test_file_that_is_gone_is_counted(save: Save, scene: Scene) -> None:
    files = [save("one.png", scene(1)), Path("gone.png")]
    squares = Squares(lambda image: read_image(files[image]))
    assert compare(Promising(0, 1, WHOLE), squares) is None
    assert squares.unread == {1}
    assert squares(0) is squares(0)  # read once
