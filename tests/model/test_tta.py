"""Test-time augmentation: its views, and out-of-fold logits that equal prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

import bestiary
from bestiary.data.decode import decode
from bestiary.data.eval_view import EvalView
from bestiary.data.resize import resize
from bestiary.model.engine import BuiltNetwork
from bestiary.model.tta import first_view, input_side, of_first_view, tta_views, with_tta
from bestiary.recipe.load import load_recipe
from bestiary.run.oof import read_oof
from bestiary.run.run import Run


def test_five_tta_views_equal_torchvision() -> None:
    views = torch.randint(
        0, 256, (3, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    whole, *corners = tta_views(views, 5)
    assert input_side(224, 5) == 256 and whole.shape == (3, 224, 224, 3)
    expected = functional.five_crop(views.permute(0, 3, 1, 2), [224, 224])[:4]
    for corner, crop, is_flipped in zip(corners, expected, (False, True, True, False), strict=True):
        crop = crop.flip(3) if is_flipped else crop
        assert torch.equal(corner, crop.permute(0, 2, 3, 1))
    shrunk = functional.resize(
        views.permute(0, 3, 1, 2).float(), [224, 224], antialias=False
    ).permute(0, 2, 3, 1)
    # Shrinking by 7/8 gives many halves, which are rounded up in spite of float noise.
    assert torch.equal(whole.float(), (shrunk + 1 / 512).round())


@pytest.mark.parametrize("size", [16, 31, 225, 288, 333])
def test_tta_views_have_the_right_size(size: int) -> None:
    for number in (1, 2, 5):
        side = input_side(size, number)
        for view in tta_views(torch.zeros((1, side, side, 3), dtype=torch.uint8), number):
            assert view.shape == (1, size, size, 3)


def test_tta_corners_have_the_image_detail() -> None:
    rng = np.random.default_rng(0)
    pixels = resize(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), 600, 800)
    view = torch.from_numpy(EvalView(input_side(224, 5))(pixels))[None]
    corner = tta_views(view, 5)[1][0].numpy()
    straight = resize(np.ascontiguousarray(pixels[:525, :700]), 224, 224)
    assert np.abs(corner[:200, :200].astype(int) - straight[:200, :200]).mean() < 2


def test_with_tta_averages_outputs() -> None:
    views = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    run = lambda batch: batch.float().mean(dim=(1, 2)).numpy() + batch[:, 0, 0].float().numpy()  # noqa: E731
    for number in (1, 2, 5):
        expected = np.mean([run(view) for view in tta_views(views, number)], axis=0)
        np.testing.assert_allclose(with_tta(run, number)(views), expected, rtol=1e-6)


def test_with_tta_keeps_the_first_view() -> None:
    views = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    run = lambda batch: batch.float().mean(dim=(1, 2)).numpy() + batch[:, 0, 0].float().numpy()  # noqa: E731
    for number in (1, 2, 5):
        both = with_tta(run, number, keeps_first=True)(views)
        assert both.shape == (4, 2, 3)
        np.testing.assert_array_equal(both[:, 0], with_tta(run, number)(views))
        alone = of_first_view(BuiltNetwork(run, "numpy"), number)(views)
        np.testing.assert_allclose(both[:, 1], alone, rtol=1e-6)
        assert torch.equal(first_view(views, number), tta_views(views, number)[0])
        assert (number == 1) == np.array_equal(both[:, 0], both[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5])
def test_tta_oof_logits_equal_prediction(beasts: Path, tmp_path: Path, number: int) -> None:
    overrides = [f"predict.tta={number}", "view.size=32", "train.precision=float32"]
    run = bestiary.probe(beasts, tmp_path / "run", overrides=overrides, folds=3, quiet=True)
    ensemble = bestiary.load(run)
    assert ensemble.tta == run.read_json("ensemble.json")["tta"] == number
    for fold in run.fold_numbers():
        table, _ = read_oof(run.fold(fold))
        paths = [beasts / path for path in table["path"]]
        logits = np.concatenate([scored.logits[fold] for scored in ensemble.iter_logits(paths)])
        np.testing.assert_allclose(logits, table["logits"].to_numpy(), atol=1e-3)
        assert ("first_view" in table.columns) == (number > 1)


@pytest.mark.slow
def test_predict_overrides_tta(trained: Run, beasts: Path, tmp_path: Path) -> None:
    path = next(beasts.rglob("*.jpg"))
    tables = [
        bestiary.predict(
            trained.path, path, out=tmp_path / f"{number}.csv", tta=number, quiet=True
        ).table
        for number in (None, 1, 2, 5)
    ]
    assert tables[0].equals(tables[1])  # the recipe's own
    ensemble = bestiary.Ensemble.load(trained, tta=5)
    view = EvalView(input_side(32, 5))(decode(path.read_bytes()))
    views = tta_views(torch.from_numpy(view)[None], 5)
    alone = [
        bestiary.load(trained).iter_logits([Image.fromarray(view[0].numpy())]) for view in views
    ]
    logits = np.mean([next(scored).logits for scored in alone], axis=0)
    np.testing.assert_allclose(next(ensemble.iter_logits([path])).logits, logits, atol=2e-2)
    assert tables[3]["confidence"][0] == pytest.approx(
        ensemble.probabilities(logits).max(), abs=2e-2
    )


def test_other_tta_numbers_are_refused() -> None:
    with pytest.raises(bestiary.BestiaryError, match=r"predict.tta = 3"):
        load_recipe("fast", ["predict.tta=3"])
