"""Arrays and tensors: which layouts are accepted, and that each remedy makes an accepted image."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from bestiary.data.eval_view import EvalView
from bestiary.ensemble.arrays import array_pixels
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.inputs import image_parts
from bestiary.errors import ArgumentError

PIXELS = np.random.default_rng(3).integers(0, 256, (20, 24, 3), dtype=np.uint8)
PIXELS[0, 0] = (0, 128, 255)
TENSOR = torch.from_numpy(PIXELS)
CHW = TENSOR.permute(2, 0, 1)
GRAY = PIXELS[..., 0].copy()


def pixels_of(images: Any) -> list[np.ndarray]:
    view = EvalView(64)
    pixels = []
    for part in image_parts(images):
        pixels += [part.pixels(row, view) for row in range(len(part.images))]
    return pixels


@pytest.mark.parametrize("image", [PIXELS, TENSOR, CHW, CHW.contiguous()], ids=str)
def test_accepted_layouts(image: Any) -> None:
    for images, count in ((image, 1), ([image] * 2, 2), (image[None], 1), (iter([image]), 1)):
        found = pixels_of(images)
        assert len(found) == count
        for pixels in found:
            np.testing.assert_array_equal(pixels, PIXELS)
    batch = (
        torch.stack([image, image]) if isinstance(image, torch.Tensor) else np.stack([image] * 2)
    )
    assert len(pixels_of(batch)) == 2


def test_predictions_of_tensors(plain: Ensemble, noise: Any) -> None:
    images = [image[:36] for image in noise(5)]
    expected = plain.predict_proba(images)
    channels_first = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(plain.predict_proba(channels_first), expected)
    np.testing.assert_array_equal(plain.predict_proba(list(channels_first)), expected)
    alone = plain.predict_proba(channels_first[1])
    np.testing.assert_allclose(alone, expected[1:2], atol=1e-6)


def test_tensor_on_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    np.testing.assert_array_equal(pixels_of(CHW.cuda())[0], PIXELS)
    np.testing.assert_array_equal(pixels_of(CHW[None].cuda())[0], PIXELS)


FLOATS = PIXELS / 255

# What is given -> the pixels that its remedy gives, at most this far off.
REMEDIES: dict[str, tuple[Any, np.ndarray | None]] = {
    "float64 0 to 1": (FLOATS, PIXELS),
    "float32 0 to 1": (FLOATS.astype(np.float32), PIXELS),
    "float 0 to 1, resized": (FLOATS + np.linspace(-0.001, 0.001, 24)[None, :, None], PIXELS),
    "float 0 to 255": (PIXELS.astype(np.float32), PIXELS),
    "int64": (PIXELS.astype(np.int64), PIXELS),
    "uint16": (PIXELS.astype(np.uint16) * 257, PIXELS),
    "bool": (PIXELS > 127, (PIXELS > 127) * np.uint8(255)),
    "channels first": (PIXELS.transpose(2, 0, 1), PIXELS),
    "gray": (GRAY, np.stack([GRAY] * 3, 2)),
    "gray channel": (GRAY[..., None], np.stack([GRAY] * 3, 2)),
    "gray channel first": (GRAY[None], np.stack([GRAY] * 3, 2)),
    "opaque": (np.dstack([PIXELS, np.full_like(GRAY, 255)]), PIXELS),
    "opaque first": (np.dstack([PIXELS, np.full_like(GRAY, 255)]).transpose(2, 0, 1), PIXELS),
    "tensor 0 to 1": (CHW / 255, PIXELS),
    "bfloat16 tensor": (CHW.to(torch.bfloat16), None),
    "tensor 0 to 255": (CHW.float(), PIXELS),
    "tensor of gradients": ((CHW / 255).requires_grad_(), PIXELS),
    "int tensor": (CHW.long(), PIXELS),
    "bool tensor": (CHW > 127, (PIXELS > 127) * np.uint8(255)),
    "gray tensor": (CHW[:1], np.stack([GRAY] * 3, 2)),
    "flat gray tensor": (CHW[0], np.stack([GRAY] * 3, 2)),
    "gray tensor, last": (TENSOR[..., :1], np.stack([GRAY] * 3, 2)),
    "opaque tensor": (torch.cat([CHW, torch.full_like(CHW[:1], 255)]), PIXELS),
    "ambiguous tensor": (TENSOR[:3], PIXELS[:3]),
    "batch of floats": (FLOATS[None], PIXELS),
    "batch, channels first": (PIXELS.transpose(2, 0, 1)[None], PIXELS),
    "batch of gray": (GRAY[None, ..., None], np.stack([GRAY] * 3, 2)),
    "batch of gray tensors": (CHW[None, :1], np.stack([GRAY] * 3, 2)),
    "batch of float tensors": (CHW[None] / 255, PIXELS),
    "masked": (np.ma.masked_greater(PIXELS, 300), PIXELS),
}


@pytest.mark.parametrize("kind", REMEDIES)
def test_remedy_makes_accepted_image(kind: str) -> None:
    image, expected = REMEDIES[kind]
    with pytest.raises(ArgumentError, match=r"(array|tensor) \w+ \([\d, ]+\): ") as raised:
        pixels_of(image)
    message = str(raised.value)
    assert "\n" not in message
    expression = re.search(r"(?:pass|first,) (.*?)(?:, or image\.permute.*)?$", message)
    assert expression, message
    names = {"image": image, "torch": torch, "PIL": PIL}
    remedied = eval(expression[1], names)
    (pixels,) = pixels_of(remedied)
    if expected is not None:
        np.testing.assert_array_equal(pixels, expected)


REFUSED: dict[str, tuple[Any, str]] = {
    "normalized": (FLOATS * 4 - 2, "undo its normalization"),
    "nan": (np.full((8, 8, 3), np.nan), "undo its normalization"),
    "normalized tensor": (CHW / 64 - 2, "undo its normalization"),
    "encoded": (np.frombuffer(b"jpeg", np.uint8), r"image.tobytes\(\)"),
    "complex": (np.zeros((8, 8, 3), complex), "has no pixels"),
    "times": (np.zeros(3, "datetime64[s]"), "has no pixels"),
    "structured": (np.zeros((8, 8), "u1,u1,u1"), "has no pixels"),
    "sparse": (CHW.to_sparse(), "dense uint8 tensor"),
    "meta": (CHW.to("meta"), "dense uint8 tensor"),
    "five channels": (np.zeros((8, 8, 5), np.uint8), r"pass uint8 \(height, width, 3\)"),
    "video": (np.zeros((2, 2, 8, 8, 3), np.uint8), r"pass uint8 \(height, width, 3\)"),
    "no height": (np.zeros((0, 8, 3), np.uint8), "has no pixels"),
    "scalar": (np.uint8(3), "uint8: is no image"),
    "no dimension": (np.array("a.jpg"), r"images.ravel\(\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    image, words = REFUSED[kind]
    with pytest.raises(ArgumentError, match=words) as raised:
        pixels_of(image)
    assert "\n" not in str(raised.value)


def test_errors_name_index() -> None:
    with pytest.raises(ArgumentError, match=r"^image 2: array float64 \(20, 24, 3\): is not uint8"):
        pixels_of([PIXELS, CHW, FLOATS])
    with pytest.raises(ArgumentError, match=r"^image 1: tensor uint8 \(3, 24, 3\): either side"):
        pixels_of([CHW, TENSOR[:3]])
    with pytest.raises(ArgumentError, match=r"^image 0: array uint8 .*: is a batch among other"):
        pixels_of([PIXELS[None]])


def test_three_rows_of_an_array_are_rows() -> None:
    np.testing.assert_array_equal(array_pixels(PIXELS[:3]), PIXELS[:3])


def test_array_of_paths(files: list[Path]) -> None:
    (part,) = image_parts(np.array(files, object))
    assert part.images == files
