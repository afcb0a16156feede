"""RandAugment and TrivialAugment: drawn from torchvision's tables, by its own operations."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from bestiary.data.augment import (
    BINS,
    RANDAUGMENT_BIN,
    RANDAUGMENT_OPERATIONS,
    Change,
    apply_change,
    augment,
    draw_changes,
)
from bestiary.data.decode import Pixels
from bestiary.rng import keyed_rng

KINDS = {"trivialaugment": v2.TrivialAugmentWide, "randaugment": v2.RandAugment}
HEIGHT = 60
WIDTH = 96


def magnitudes(kind: str, name: str) -> tuple[np.ndarray, bool]:
    """torchvision's magnitudes of an operation (bins,), or [0], and whether a sign is drawn."""
    make, signed = KINDS[kind]._AUGMENTATION_SPACE[name]
    table = make(BINS, HEIGHT, WIDTH)
    if table is None:
        return np.zeros(1), False
    table = table.numpy().astype(float)
    return (table[[RANDAUGMENT_BIN]] if kind == "randaugment" else table), signed


@pytest.fixture(scope="module", params=list(KINDS))
def drawn(request: pytest.FixtureRequest) -> tuple[str, list[list[Change]]]:
    return request.param, [
        draw_changes(request.param, HEIGHT, WIDTH, keyed_rng(0, "augment", i)) for i in range(8000)
    ]


def test_randaugment_draws_torchvision_counts(
    drawn: tuple[str, list[list[Change]]],
) -> None:
    kind, changes = drawn
    assert {len(each) for each in changes} == {
        1 if kind == "trivialaugment" else v2.RandAugment().num_ops
    }
    assert (
        v2.RandAugment().magnitude == RANDAUGMENT_BIN
        and v2.RandAugment().num_ops == RANDAUGMENT_OPERATIONS
    )
    assert KINDS[kind]().num_magnitude_bins == BINS


def test_augment_operations_are_equally_frequent(
    drawn: tuple[str, list[list[Change]]],
) -> None:
    kind, changes = drawn
    names = Counter(change.operation for each in changes for change in each)
    assert set(names) == set(KINDS[kind]._AUGMENTATION_SPACE)
    assert chisquare(list(names.values())).pvalue > 0.001


def test_augment_magnitudes_equal_torchvision(
    drawn: tuple[str, list[list[Change]]],
) -> None:
    kind, changes = drawn
    for name in KINDS[kind]._AUGMENTATION_SPACE:
        allowed, signed = magnitudes(kind, name)
        drawn_magnitudes = np.array(
            [change.magnitude for each in changes for change in each if change.operation == name]
        )
        gaps = np.abs(np.abs(drawn_magnitudes)[:, None] - allowed[None])
        assert gaps.min(axis=1).max() < 1e-4, name
        values = np.unique(allowed.round(4))
        nearest = np.abs(np.abs(drawn_magnitudes)[:, None] - values[None]).argmin(axis=1)
        shares = np.array([(allowed.round(4) == value).sum() for value in values]) / len(allowed)
        if len(values) > 1:
            counts = np.bincount(nearest, minlength=len(values))
            assert chisquare(counts, shares * len(drawn_magnitudes)).pvalue > 0.0005, name
        nonzero = drawn_magnitudes[drawn_magnitudes != 0]
        negative = (nonzero < 0).mean() if len(nonzero) else 0.0
        assert abs(negative - 0.5) < 0.1 if signed else negative == 0, name


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("name", list(v2.TrivialAugmentWide._AUGMENTATION_SPACE))
def test_augment_pixels_equal_torchvision(smooth: Pixels, kind: str, name: str) -> None:
    view = torch.from_numpy(np.ascontiguousarray(smooth[:HEIGHT, :WIDTH])).permute(2, 0, 1)
    transform = KINDS[kind]()
    table, signed = magnitudes(
        "trivialaugment" if kind == "trivialaugment" else "randaugment", name
    )
    strengths = sorted(set(table.tolist()))
    for strength in strengths + [-s for s in strengths if signed]:
        theirs = transform._apply_image_or_video_transform(
            view, name, strength, interpolation=InterpolationMode.NEAREST, fill=transform._fill
        )
        ours = apply_change(view, Change(name, strength))
        assert ours.dtype == torch.uint8
        assert torch.equal(ours, theirs), strength


def test_augment_none_changes_nothing(smooth: Pixels) -> None:
    assert draw_changes("none", 10, 10, keyed_rng(0, "x")) == []
    np.testing.assert_array_equal(augment(smooth, "none", keyed_rng(0, "x")), smooth)


@pytest.mark.parametrize("kind", list(KINDS))
def test_augment_depends_on_rng_and_copies_view(smooth: Pixels, kind: str) -> None:
    view = smooth[:64, :64].copy()
    state = torch.random.get_rng_state()
    made = [augment(view, kind, keyed_rng(0, "a", i)) for i in range(40)]  # type: ignore[arg-type]
    again = [augment(view, kind, keyed_rng(0, "a", i)) for i in range(40)]  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, other in zip(made, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == view.shape and one.dtype == np.uint8
    assert len({each.tobytes() for each in made}) > 15
    np.testing.assert_array_equal(view, smooth[:64, :64])


def test_flipped_view_can_be_augmented(smooth: Pixels) -> None:
    for i in range(30):
        mirrored = augment(smooth[:, ::-1], "trivialaugment", keyed_rng(0, "a", i))
        np.testing.assert_array_equal(
            mirrored, augment(smooth[:, ::-1].copy(), "trivialaugment", keyed_rng(0, "a", i))
        )
