"""Views: drawn and sampled as in torchvision, and never aliased; resize and crop."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest, ks_2samp
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as ops

from bestiary.data.decode import Pixels
from bestiary.data.eval_view import EvalView
from bestiary.data.loader import train_views
from bestiary.data.resize import resize, shrink_to_side
from bestiary.data.views import Geometry, TrainView, affine_map, apply_geometry, draw_crop
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import ViewOptions
from bestiary.rng import keyed_rng

Psnr = Callable[..., float]
PAPER = TrainView(size=224, flip=0.5, rotation=15.0, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
EXTREMES = [(1, 1), (1, 2000), (2000, 1), (2, 3), (100, 400), (400, 100), (60, 1200), (17, 16)]


def tensor_of(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def by_torchvision(pixels: Pixels, geometry: Geometry, size: int) -> Pixels:
    """Flip, rotate, crop and resize one after the other by torchvision."""
    image = tensor_of(pixels)
    if geometry.flip:
        image = ops.horizontal_flip(image)
    if geometry.angle:
        image = ops.rotate(image, geometry.angle, interpolation=InterpolationMode.BILINEAR)
    image = ops.resized_crop(
        image,
        geometry.top,
        geometry.left,
        geometry.height,
        geometry.width,
        [size, size],
        antialias=True,
    )
    return image.permute(1, 2, 0).numpy()


def inside(geometry: Geometry, height: int, width: int, size: int, border: float) -> np.ndarray:
    """Mask (size, size) of view pixels more than `border` pixels inside the image."""
    y, x = np.mgrid[0:size, 0:size] + 0.5
    sx, sy = np.tensordot(
        affine_map(geometry, height, width, size), np.stack([x, y, np.ones_like(x)]), 1
    )
    return (sx > border) & (sx < width - border) & (sy > border) & (sy < height - border)


@pytest.mark.parametrize(("height", "width"), [(240, 300), (500, 120), (64, 640)])
def test_crops_are_distributed_as_in_torchvision(height: int, width: int) -> None:
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(224, antialias=True)
    image = torch.empty(3, height, width)
    count = 3000
    drawn = [transform.make_params([image]) for _ in range(count)]
    theirs = np.array([[box[k] for k in ("top", "left", "height", "width")] for box in drawn])
    ours = np.array(
        [
            draw_crop(height, width, (0.08, 1.0), (3 / 4, 4 / 3), keyed_rng(1, "crop", i))
            for i in range(count)
        ]
    )
    for what, measure in {
        "area": lambda boxes: boxes[:, 2] * boxes[:, 3],
        "ratio": lambda boxes: boxes[:, 3] / boxes[:, 2],
        "top": lambda boxes: boxes[:, 0],
        "left": lambda boxes: boxes[:, 1],
        "center": lambda boxes: boxes[:, 0] + boxes[:, 2] / 2,
    }.items():
        assert ks_2samp(measure(ours), measure(theirs)).pvalue > 0.001, what
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all() and (ours[:, 1] + ours[:, 3] <= width).all()


@pytest.mark.parametrize(("height", "width"), [(10, 400), (400, 10), (1, 2000), (2000, 1), (1, 1)])
def test_narrow_images_get_central_crop(height: int, width: int) -> None:
    params = v2.RandomResizedCrop(8, scale=(0.9, 1.0), antialias=True).make_params(
        [torch.empty(3, height, width)]
    )
    box = draw_crop(height, width, (0.9, 1.0), (3 / 4, 4 / 3), keyed_rng(0, "crop"))
    assert box == tuple(params[k] for k in ("top", "left", "height", "width"))


def test_angles_are_distributed_as_in_torchvision() -> None:
    torch.manual_seed(0)
    rotation = v2.RandomRotation(15)
    theirs = [rotation.make_params([])["angle"] for _ in range(3000)]
    ours = [PAPER.draw(200, 300, keyed_rng(2, "angle", i)).angle for i in range(3000)]
    assert ks_2samp(ours, theirs).pvalue > 0.001
    assert -15 <= min(ours) < -14.5 and 14.5 < max(ours) <= 15


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_flip_probability(share: float) -> None:
    view = TrainView(32, share, 0.0, (0.5, 1.0), (1.0, 1.0))
    flips = sum(view.draw(50, 50, keyed_rng(3, "flip", i)).flip for i in range(3000))
    if share in (0.0, 1.0):
        assert flips == 3000 * share
    else:
        assert binomtest(flips, 3000, share).pvalue > 0.001


def test_flip_angle_and_crop_are_independent() -> None:
    drawn = [PAPER.draw(200, 300, keyed_rng(4, "all", i)) for i in range(3000)]
    table = np.array([[g.flip, g.angle, g.top, g.height * g.width] for g in drawn], float)
    correlation = np.corrcoef(table, rowvar=False)
    assert abs(correlation[0, 1:]).max() < 0.07 and abs(correlation[1, 2:]).max() < 0.07


def test_no_rotation_draws_no_angle() -> None:
    assert TrainView(32, 0.5, 0.0, (0.5, 1.0), (1.0, 1.0)).draw(9, 9, keyed_rng(0, "x")).angle == 0


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [-15.0, -7.3, 0.0, 2.0, 15.0, 40.0, 90.0, -135.0])
@pytest.mark.parametrize(
    "box", [(0, 0, 230, 310), (20, 30, 180, 200), (60, 90, 100, 75), (40, 160, 60, 80)]
)
def test_affine_map_equals_torchvision_chain(
    smooth: Pixels, psnr: Psnr, flip: bool, angle: float, box: tuple[int, int, int, int]
) -> None:
    geometry = Geometry(flip, angle, *box)
    ours = apply_geometry(smooth, geometry, 96)
    theirs = by_torchvision(smooth, geometry, 96)
    assert ours.shape == (96, 96, 3) and ours.dtype == np.uint8
    mask = inside(geometry, *smooth.shape[:2], 96, border=4)
    assert mask.any()
    assert psnr(ours[mask], theirs[mask]) >= 35


def test_identity_geometry_gives_the_image(smooth: Pixels) -> None:
    square = smooth[:200, :200]
    np.testing.assert_array_equal(
        apply_geometry(square, Geometry(False, 0.0, 0, 0, 200, 200), 200), square
    )
    np.testing.assert_array_equal(
        apply_geometry(square, Geometry(True, 0.0, 0, 0, 200, 200), 200), square[:, ::-1]
    )


def test_tiny_angle_does_not_shift_pixels(smooth: Pixels) -> None:
    square = smooth[:200, :200]
    turned = apply_geometry(square, Geometry(False, 1e-6, 0, 0, 200, 200), 200)
    assert np.abs(turned[1:-1, 1:-1].astype(int) - square[1:-1, 1:-1]).max() <= 1


def test_positive_angle_is_counter_clockwise() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[40:61, 90:] = 255  # a mark on the right
    turned = apply_geometry(image, Geometry(False, 90.0, 0, 0, 101, 101), 101)
    assert turned[:11, 40:61].mean() > 240 and turned.mean() < 10
    np.testing.assert_allclose(
        turned, by_torchvision(image, Geometry(False, 90.0, 0, 0, 101, 101), 101), atol=2
    )


@pytest.mark.parametrize("angle", [0.0, 11.0, -15.0])
@pytest.mark.parametrize(
    ("size", "box"),
    [(150, (0, 0, 900, 1200)), (112, (0, 0, 896, 896)), (128, (100, 150, 700, 600))],
)
def test_strong_shrink_does_not_alias(
    detailed: Pixels, psnr: Psnr, angle: float, size: int, box: tuple[int, int, int, int]
) -> None:
    geometry = Geometry(False, angle, *box)
    image = Image.fromarray(detailed).rotate(angle, Image.Resampling.BICUBIC)
    top, left, height, width = box
    reference = image.crop((left, top, left + width, top + height)).resize(
        (size, size), Image.Resampling.BILINEAR
    )
    mask = inside(geometry, *detailed.shape[:2], size, border=20)
    view = apply_geometry(detailed, geometry, size)
    assert psnr(view[mask], np.asarray(reference)[mask]) >= 28


@pytest.mark.parametrize("step", [1.05, 1.3, 1.5, 1.65, 1.8, 2.0, 2.4, 2.9])
def test_rotated_photographs_are_near_pillow(photographs: list, psnr: Psnr, step: float) -> None:  # type: ignore[type-arg]
    scores = []
    for file in photographs[::4]:
        image = Image.open(file).convert("RGB")
        side = round(60 * step)
        if min(image.size) < side + 20:
            continue
        top = (image.height - side) // 2
        left = (image.width - side) // 2
        turned = image.rotate(7.0, Image.Resampling.BICUBIC).crop(
            (left, top, left + side, top + side)
        )
        theirs = np.asarray(turned.resize((60, 60), Image.Resampling.BILINEAR))
        ours = apply_geometry(np.array(image), Geometry(False, 7.0, top, left, side, side), 60)
        scores.append(psnr(ours[6:-6, 6:-6], theirs[6:-6, 6:-6]))
    assert np.mean(scores) >= 33


def test_fine_stripes_average_to_gray() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    for angle in (0.0, 5.0, 30.0, 90.0):
        view = apply_geometry(stripes, Geometry(False, angle, 200, 200, 400, 400), 64)
        assert np.abs(view.astype(int) - 127).max() < 30, angle


def test_outside_of_rotated_image_is_black() -> None:
    white = np.full((200, 300, 3), 255, np.uint8)
    geometry = Geometry(False, 15.0, 0, 0, 200, 300)
    view = apply_geometry(white, geometry, 100)
    for corner in (view[:4, :4], view[:4, -4:], view[-4:, :4], view[-4:, -4:]):
        assert corner.max() == 0
    assert view[40:60, 40:60].min() == 255
    theirs = by_torchvision(white, geometry, 100)
    assert np.abs((view == 0).mean() - (theirs == 0).mean()) < 0.01
    assert np.abs(view.astype(int) - theirs).mean() < 3


def test_crop_outside_rotated_image_is_black() -> None:
    white = np.full((100, 400, 3), 255, np.uint8)
    for angle, left in ((90.0, 0), (90.0, 340), (-60.0, 0), (180.0, 0)):
        geometry = Geometry(False, angle, 20, left, 50, 50)
        view = apply_geometry(white, geometry, 32)
        np.testing.assert_allclose(view, by_torchvision(white, geometry, 32), atol=40)


@pytest.mark.parametrize("shape", EXTREMES)
@pytest.mark.parametrize("rotation", [0.0, 15.0, 180.0])
def test_train_view_of_any_image_shape(shape: tuple[int, int], rotation: float) -> None:
    pixels = np.full((*shape, 3), 200, np.uint8)
    view = TrainView(32, 0.5, rotation, (0.08, 1.0), (3 / 4, 4 / 3))
    for i in range(60):
        sample = view(pixels, keyed_rng(0, "extreme", i))
        assert sample.shape == (32, 32, 3) and sample.dtype == np.uint8
        assert sample.max() <= 200
        assert rotation or sample.min() == 200


def test_narrow_ratio_crops_a_line_of_pixels() -> None:
    view = TrainView(16, 0.0, 0.0, (0.08, 1.0), (0.25, 0.4))
    assert view(np.full((1, 2000, 3), 9, np.uint8), keyed_rng(0, "x")).min() == 9
    view = TrainView(16, 0.0, 0.0, (0.08, 1.0), (2.5, 4.0))
    assert view(np.full((2000, 1, 3), 9, np.uint8), keyed_rng(0, "x")).min() == 9


@pytest.mark.parametrize("shape", EXTREMES)
@pytest.mark.parametrize("mode", ["squash", "crop"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_eval_view_of_any_image_shape(
    shape: tuple[int, int], mode: str, interpolation: str
) -> None:
    view = EvalView(32, mode, 0.95, interpolation)(np.full((*shape, 3), 200, np.uint8))
    np.testing.assert_array_equal(view, np.full((32, 32, 3), 200))


def test_view_can_become_a_tensor(smooth: Pixels) -> None:
    for kind in ("none", "trivialaugment"):
        view = TrainView(48, 1.0, 0.0, (0.5, 1.0), (0.75, 1.3), kind)(smooth, keyed_rng(0, "view"))
        assert view.shape == (48, 48, 3) and view.dtype == np.uint8
        assert torch.from_numpy(np.ascontiguousarray(view)).shape == (48, 48, 3)


def test_views_do_not_change_the_image(smooth: Pixels) -> None:
    before = smooth.copy()
    smooth.flags.writeable = False  # a stored image is read-only too
    try:
        for i in range(30):
            TrainView(48, 0.5, 15.0, (0.1, 1.0), (0.75, 1.3), "trivialaugment")(
                smooth, keyed_rng(0, "view", i)
            )
        EvalView(48)(smooth)
    finally:
        smooth.flags.writeable = True
    np.testing.assert_array_equal(smooth, before)


def test_view_depends_on_seed_fold_epoch_row(smooth: Pixels) -> None:
    def view(seed: int, fold: int, epoch: int, row: int) -> bytes:
        return train_views(lambda _: smooth, PAPER, seed, fold, epoch)(row).tobytes()

    first = view(0, 1, 2, 3)
    assert view(0, 1, 2, 3) == first
    assert len({first, view(1, 1, 2, 3), view(0, 2, 2, 3), view(0, 1, 3, 3), view(0, 1, 2, 4)}) == 5


@pytest.mark.parametrize("size", [64, 112, 224, 300])
def test_squash_equals_torchvision_resize(
    smooth: Pixels, detailed: Pixels, psnr: Psnr, size: int
) -> None:
    for pixels in (smooth, detailed):
        theirs = v2.Resize((size, size), antialias=True)(tensor_of(pixels)).permute(1, 2, 0).numpy()
        assert psnr(EvalView(size)(pixels), theirs) >= (60 if size <= min(pixels.shape[:2]) else 30)


def test_squash_of_photographs_equals_torchvision(photographs: list, psnr: Psnr) -> None:  # type: ignore[type-arg]
    for file in photographs[:20]:
        pixels = np.array(Image.open(file).convert("RGB"))
        theirs = v2.Resize((128, 128), antialias=True)(tensor_of(pixels)).permute(1, 2, 0).numpy()
        assert psnr(EvalView(128)(pixels), theirs) >= (
            60 if min(pixels.shape[:2]) >= 128 else 35
        ), file


@pytest.mark.parametrize(
    ("interpolation", "mode"),
    [("bilinear", InterpolationMode.BILINEAR), ("bicubic", InterpolationMode.BICUBIC)],
)
def test_small_image_is_enlarged_by_interpolation(
    smooth: Pixels, psnr: Psnr, interpolation: str, mode: InterpolationMode
) -> None:
    small = smooth[100:150, 100:160]
    theirs = v2.Resize((96, 96), mode, antialias=True)(tensor_of(small)).permute(1, 2, 0).numpy()
    assert psnr(EvalView(96, interpolation=interpolation)(small), theirs) >= 40  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(230, 310), (310, 230), (200, 200)])
@pytest.mark.parametrize("share", [1.0, 0.875])
def test_eval_crop_is_central_and_keeps_aspect(
    smooth: Pixels, psnr: Psnr, shape: tuple[int, int], share: float
) -> None:
    pixels = smooth if shape != (310, 230) else smooth.transpose(1, 0, 2)
    pixels = pixels[: shape[0], : shape[1]]
    side = round(min(shape) * share)
    theirs = ops.resize(ops.center_crop(tensor_of(pixels), [side, side]), [96, 96], antialias=True)
    view = EvalView(96, "crop", share)
    assert psnr(view(pixels), theirs.permute(1, 2, 0).numpy()) >= 33
    if share == 1.0 and shape[0] == shape[1]:
        np.testing.assert_array_equal(view(pixels), EvalView(96)(pixels))


def test_min_side_is_twice_what_the_view_shows() -> None:
    assert EvalView(100).min_side == 200
    assert EvalView(100, "crop", 0.8).min_side == 250
    assert EvalView(100, "squash", 0.8).min_side == 200


def test_views_follow_the_recipe() -> None:
    options = ViewOptions(
        size=64, flip=0.3, rotation=5, scale=(0.2, 0.9), ratio=(0.5, 2.0), augment="randaugment"
    )
    assert TrainView.of(options) == TrainView(64, 0.3, 5, (0.2, 0.9), (0.5, 2.0), "randaugment")
    assert EvalView.of(options, "bicubic") == EvalView(64, "squash", 0.95, "bicubic")
    other = ViewOptions(size=64, eval_size=80, eval_resize="crop", eval_crop=0.9)
    assert EvalView.of(other, "bilinear") == EvalView(80, "crop", 0.9, "bilinear")
    assert EvalView.of(Recipe().view, "bilinear").size == 224
    assert EvalView.of(ViewOptions(size=64, eval_scale=1.25), "bilinear").size == 80


def test_resize_shrinks_one_side_only(smooth: Pixels, psnr: Psnr) -> None:
    theirs = v2.Resize((60, 500), antialias=True)(tensor_of(smooth)).permute(1, 2, 0).numpy()
    assert psnr(resize(smooth, 60, 500), theirs) >= 35
    assert resize(smooth, *smooth.shape[:2]) is smooth


@pytest.mark.parametrize(
    "shape", [(300, 400), (400, 300), (1, 900), (3000, 2), (64, 64), (63, 500), (79, 90), (80, 90)]
)
def test_shrink_to_side_keeps_aspect(shape: tuple[int, int]) -> None:
    shrunk = shrink_to_side(np.zeros((*shape, 3), np.uint8), 64)
    assert min(shrunk.shape[:2]) == (64 if min(shape) >= 80 else min(shape))
    assert (
        shrunk.shape[:2] == shape
        if min(shape) < 80
        else math.isclose(shrunk.shape[0] / shrunk.shape[1], shape[0] / shape[1], rel_tol=0.02)
    )
