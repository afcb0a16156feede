"""A store of JPEGs: a small share of the disk, nearly the same pixels and views, same damage."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bestiary.beasts.drawing import draw_beast
from bestiary.beasts.species import invent_species
from bestiary.data.decode import Pixels
from bestiary.data.pixel_formats import pixel_format
from bestiary.data.store import ImageStore, load_shrunk
from bestiary.data.views import TrainView
from bestiary.rng import keyed_rng

Encode = Callable[..., bytes]
Psnr = Callable[[np.ndarray, np.ndarray], float]
Items = tuple[list[tuple[str, Path]], list[tuple[int, int]]]
PLENTY = 1 << 30
SIDE = 120


@pytest.fixture(scope="module")
def drawn() -> list[Pixels]:
    """Beasts, whose edges are sharper than those of photographs."""
    kinds = enumerate(invent_species(4, 0))
    return [draw_beast(kind, np.random.default_rng(seed), 480) for seed, kind in kinds]


@pytest.fixture
def items(tmp_path: Path, encode: Encode, drawn: list[Pixels]) -> Items:
    """SHA-256 with path, and size, of drawn images."""
    images = []
    sizes = []
    for number, pixels in enumerate(drawn):
        content = encode(pixels, "JPEG", quality=92)
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(content)
        images.append((hashlib.sha256(content).hexdigest(), file))
        sizes.append(pixels.shape[:2])
    return images, sizes


def opened(tmp_path: Path, storing: str) -> ImageStore:
    return ImageStore(tmp_path / "store", SIDE, storing=storing)  # type: ignore[arg-type]


def disk(store: ImageStore) -> int:
    return sum(file.stat().st_size for file in store.folder.glob("*.pixels"))


def test_jpegs_are_near_the_pixels(items: Items, tmp_path: Path, psnr: Psnr) -> None:
    raw, jpeg = (opened(tmp_path, storing) for storing in ("raw", "jpeg"))
    assert raw.fill(*items, PLENTY) is None
    assert jpeg.fill(*items, PLENTY) is None
    again = opened(tmp_path, "jpeg")
    for digest, path in items[0]:
        pixels = jpeg.get(digest)
        np.testing.assert_array_equal(again.get(digest), pixels)
        np.testing.assert_array_equal(raw.get(digest), load_shrunk(path, digest, SIDE))
        assert psnr(pixels, raw.get(digest)) > 38
    assert disk(jpeg) < 0.25 * disk(raw)


def test_views_of_jpegs_are_near(items: Items, tmp_path: Path, psnr: Psnr) -> None:
    """A view may show what differs most, enlarged."""
    raw, jpeg = (opened(tmp_path, storing) for storing in ("raw", "jpeg"))
    raw.fill(*items, PLENTY)
    jpeg.fill(*items, PLENTY)
    view = TrainView(80, 0.5, 15.0, (0.3, 1.0), (3 / 4, 4 / 3))
    for draw in range(4):
        for digest, _ in items[0]:
            one, other = (
                view(store.get(digest), keyed_rng(0, "view", draw)) for store in (raw, jpeg)
            )
            assert psnr(one, other) > 36


def test_decoded_again_is_as_stored(items: Items, tmp_path: Path) -> None:
    """What a store lacks has the same pixels as what it has."""
    store = opened(tmp_path, "jpeg")
    store.fill(*items, PLENTY)
    for digest, path in items[0]:
        pixels = pixel_format("jpeg").as_stored(load_shrunk(path, digest, SIDE))
        np.testing.assert_array_equal(pixels, store.get(digest))


def test_damaged_jpeg_is_missing(items: Items, tmp_path: Path) -> None:
    opened(tmp_path, "jpeg").fill(*items, PLENTY)
    store = opened(tmp_path, "jpeg")
    (segment,) = store.folder.glob("*.pixels")
    content = bytearray(segment.read_bytes())
    content[len(content) // 8] ^= 1
    segment.write_bytes(content)
    digests = [digest for digest, _ in items[0]]
    assert [store.get(digest) is None for digest in digests].count(True) == 1
    assert store.fill(*items, PLENTY) is None
    assert all(store.get(digest) is not None for digest in digests)


def test_jpeg_disk_is_asked_for_first(items: Items, tmp_path: Path) -> None:
    """Less of it than for pixels, and it is enough."""
    pixels = sum(load_shrunk(path, digest, SIDE).nbytes for digest, path in items[0])
    store = opened(tmp_path, "jpeg")
    reason = store.fill(*items, disk(store) + 1000)
    assert reason is not None and "data.store_limit_gb" in reason
    assert store.fill(*items, pixels // 3) is None
    assert disk(store) <= pixels // 4


def test_jpegs_of_noise_are_refused(tmp_path: Path, encode: Encode) -> None:
    """They take more than is known before, and must not fill the disk."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    content = encode(noise, "PNG")
    file = tmp_path / "noise.png"
    file.write_bytes(content)
    images = [(hashlib.sha256(content).hexdigest(), file)]
    store = opened(tmp_path, "jpeg")
    reason = store.fill(images, [(SIDE, SIDE)], PLENTY)
    assert reason is not None and "than the 0.0 GB that were expected" in reason


def test_an_image_of_another_size_is_refused(detailed: Pixels) -> None:
    small = detailed[:20, :30]
    content = np.frombuffer(pixel_format("jpeg").encode(small), np.uint8)
    with pytest.raises(ValueError, match="20 x 30 pixels"):
        pixel_format("jpeg").decode(content, 30, 20)
