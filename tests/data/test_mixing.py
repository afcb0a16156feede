"""MixUp and CutMix: equal to torchvision for the same draw, and drawn as in the papers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest
from torchvision.transforms import v2

from bestiary.data import mixing
from bestiary.data.mixing import Mixing, cut_box, cutmix, mixup
from bestiary.rng import keyed_rng

CLASSES = 5


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 20, 28, generator=random)
    labels = torch.randint(CLASSES, (6,), generator=random)
    return images, torch.nn.functional.one_hot(labels, CLASSES).float()


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_mixup_equals_torchvision(batch: tuple[torch.Tensor, torch.Tensor], keep: float) -> None:
    images, targets = batch
    transform = v2.MixUp(num_classes=CLASSES)
    params = {"labels": targets, "batch_size": len(images), "lam": keep}
    mixed, soft = mixup(images, targets, keep)
    torch.testing.assert_close(mixed, transform.transform(images, params))
    torch.testing.assert_close(soft, transform.transform(targets, params))


@pytest.mark.parametrize(
    "box", [(0, 0, 28, 20), (3, 4, 10, 17), (0, 5, 1, 6), (7, 7, 7, 7), (20, 0, 28, 20)]
)
def test_cutmix_equals_torchvision(
    batch: tuple[torch.Tensor, torch.Tensor], box: tuple[int, int, int, int]
) -> None:
    images, targets = batch
    transform = v2.CutMix(num_classes=CLASSES)
    left, top, right, bottom = box
    share = 1.0 - (right - left) * (bottom - top) / (20 * 28)
    params = {"labels": targets, "batch_size": len(images), "box": box, "lam_adjusted": share}
    mixed, soft = cutmix(images, targets, box)
    assert torch.equal(mixed, transform.transform(images, params))
    torch.testing.assert_close(soft, transform.transform(targets, params))


def test_cutmix_box_equals_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    transform = v2.CutMix(num_classes=CLASSES)
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(1, 80, 2))
        keep, x, y = (
            float(np.float32(rng.random())),
            int(rng.integers(width)),
            int(rng.integers(height)),
        )
        draws = iter([torch.tensor([x]), torch.tensor([y])])
        monkeypatch.setattr(torch, "randint", lambda *_, draws=draws, **__: next(draws))
        transform._dist = SimpleNamespace(sample=lambda _, keep=keep: torch.tensor(keep))
        params = transform.make_params([torch.empty(2, 3, height, width)])
        assert cut_box(keep, x, y, width, height) == params["box"]


@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300), st.data())
def test_cutmix_box_stays_inside_its_share(
    keep: float, width: int, height: int, data: st.DataObject
) -> None:
    x = data.draw(st.integers(0, width - 1))
    y = data.draw(st.integers(0, height - 1))
    left, top, right, bottom = cut_box(keep, x, y, width, height)
    assert 0 <= left <= right <= width and 0 <= top <= bottom <= height
    assert (right - left) * (bottom - top) <= (1 - keep) * width * height + 1e-6


@pytest.mark.parametrize(
    "settings", [(1.0, 1.0, 0.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.5, 0.2, 2.0)]
)
def test_targets_sum_to_one_and_batch_is_copied(
    batch: tuple[torch.Tensor, torch.Tensor], settings: tuple[float, float, float]
) -> None:
    images, targets = batch
    before = images.clone(), targets.clone()
    for i in range(40):
        mixed, soft = Mixing(*settings)(images, targets, keyed_rng(0, "mix", i))
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(6))
        assert (soft >= 0).all()
        assert mixed.shape == images.shape and mixed.dtype == images.dtype
        assert mixed.min() >= 0 and mixed.max() <= 1
    assert torch.equal(images, before[0]) and torch.equal(targets, before[1])


def test_cutmix_targets_equal_pixel_share(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 32, 40).contiguous()
    targets = torch.eye(6)
    for i in range(50):
        mixed, soft = Mixing(1.0, 0.0, 1.0)(images, targets, keyed_rng(0, "mix", i))
        own = (mixed == images).all(dim=1).float().mean(dim=(1, 2))
        torch.testing.assert_close(soft.diagonal(), own)
        neighbor = (mixed == images.roll(1, 0)).all(dim=1).float().mean(dim=(1, 2))
        torch.testing.assert_close(own + neighbor, torch.ones(6))


@pytest.mark.parametrize("settings", [(0.0, 1.0, 1.0), (1.0, 0.0, 0.0)])
def test_no_mixing_without_probability(
    batch: tuple[torch.Tensor, torch.Tensor], settings: tuple[float, float, float]
) -> None:
    for i in range(20):
        images, targets = Mixing(*settings)(*batch, keyed_rng(0, "mix", i))
        assert images is batch[0] and targets is batch[1]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """What `Mixing` draws: `keep` of MixUp, and of CutMix before its box is clipped."""
    draws: dict[str, list[float]] = {"mixup": [], "cutmix": [], "x": [], "y": []}

    def record_mixup(
        images: torch.Tensor, targets: torch.Tensor, keep: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        draws["mixup"].append(keep)
        return images, targets

    def record_box(
        keep: float, x: int, y: int, width: int, height: int
    ) -> tuple[int, int, int, int]:
        assert (width, height) == (28, 20)
        draws["cutmix"].append(keep)
        draws["x"].append((x + 0.5) / width)
        draws["y"].append((y + 0.5) / height)
        return cut_box(keep, x, y, width, height)

    monkeypatch.setattr(mixing, "mixup", record_mixup)
    monkeypatch.setattr(mixing, "cut_box", record_box)
    return draws


def test_mixup_and_cutmix_are_equally_frequent(
    batch: tuple[torch.Tensor, torch.Tensor], calls: dict[str, list[float]]
) -> None:
    for i in range(3000):
        Mixing(1.0, 1.0, 1.0)(*batch, keyed_rng(5, "mix", i))
    assert len(calls["mixup"]) + len(calls["cutmix"]) == 3000
    assert binomtest(len(calls["mixup"]), 3000, 0.5).pvalue > 0.001
    for kind in ("mixup", "cutmix"):
        assert kstest(calls[kind], "uniform").pvalue > 0.001, kind
    for axis, side in (("x", 28), ("y", 20)):
        assert kstest(calls[axis], "uniform").statistic < 0.04 + 0.5 / side, axis


def test_alpha_of_mixup_and_cutmix(
    batch: tuple[torch.Tensor, torch.Tensor], calls: dict[str, list[float]]
) -> None:
    for i in range(1000):
        Mixing(1.0, 0.2, 0.0)(*batch, keyed_rng(6, "mix", i))
    assert len(calls["mixup"]) == 1000 and not calls["cutmix"]
    assert kstest(calls["mixup"], "beta", args=(0.2, 0.2)).pvalue > 0.001
    for i in range(1000):
        Mixing(1.0, 0.0, 3.0)(*batch, keyed_rng(7, "mix", i))
    assert len(calls["mixup"]) == 1000 and len(calls["cutmix"]) == 1000
    assert kstest(calls["cutmix"], "beta", args=(3, 3)).pvalue > 0.001


def test_mixing_probability(
    batch: tuple[torch.Tensor, torch.Tensor], calls: dict[str, list[float]]
) -> None:
    for i in range(2000):
        Mixing(0.3, 1.0, 1.0)(*batch, keyed_rng(8, "mix", i))
    assert binomtest(len(calls["mixup"]) + len(calls["cutmix"]), 2000, 0.3).pvalue > 0.001


def test_batch_of_one_is_mixed_with_itself() -> None:
    image = torch.rand(1, 3, 8, 8)
    target = torch.tensor([[0.0, 1.0]])
    for i in range(10):
        mixed, soft = Mixing(1.0, 1.0, 1.0)(image, target, keyed_rng(0, "mix", i))
        torch.testing.assert_close(mixed, image)
        torch.testing.assert_close(soft, target)


def test_cut_box_of_half_the_area() -> None:
    side = math.sqrt(0.5)
    left, top, right, bottom = cut_box(0.5, 50, 50, 100, 100)
    assert right - left == bottom - top == 2 * int(50 * side)
