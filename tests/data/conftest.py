"""Fixtures: synthetic images, image files on disk, and the project's shared photographs."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bestiary.data.decode import Pixels, decode
from bestiary.errors import ImageError

SHARED = Path(__file__).parents[3] / "shared" / "data"
Psnr = Callable[[NDArray[np.generic], NDArray[np.generic]], float]


@pytest.fixture(scope="session")
def smooth() -> Pixels:
    """An image (230, 310, 3) of slow waves: every good resampling agrees on it."""
    y, x = np.mgrid[0:230, 0:310]
    waves = [
        np.sin(x / 23 + 1) + np.cos(y / 31),
        np.sin((x + y) / 37),
        np.cos(x / 29 - y / 41),
    ]
    channels = [(127 + 60 * wave).clip(0, 255) for wave in waves]
    return np.stack(channels, axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def detailed() -> Pixels:
    """An image (900, 1200, 3) with detail at every scale and edges; its spectrum falls as a
    photograph's does.
    """
    rng = np.random.default_rng(0)
    height = 900
    width = 1200
    frequency = _frequencies(height, width)
    planes = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * rng.random(frequency.shape))
        plane = np.fft.irfft2(phase / frequency**1.2, s=(height, width))
        planes.append(128 + 45 * plane / plane.std())
    image = np.stack(planes, axis=2)

    # A box and fine stripes, which alias if a resize does not average.
    image[200:500, 300:700] += 60
    stripes = np.arange(200) % 4 < 2
    image[:, 900:1100] += 50 * stripes[None, :, None]
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def psnr() -> Psnr:
    """Peak signal-to-noise ratio in dB of two 8-bit images."""

    def measure(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
        assert one.shape == other.shape
        error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
        return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))

    return measure


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode pixels or a Pillow image as a file of the named format."""

    def write(image: Pixels | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        pillow_image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        buffer = io.BytesIO()
        pillow_image.save(buffer, kind, **options)
        return buffer.getvalue()

    return write


@pytest.fixture(scope="session")
def by_pillow() -> Callable[[bytes], Pixels]:
    """Decode a file by Pillow, upright and as RGB."""

    def read(content: bytes) -> Pixels:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

    return read


@pytest.fixture(scope="session")
def exif_of() -> Callable[[int], bytes]:
    """Write an EXIF block with an orientation."""

    def write(orientation: int) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        return exif.tobytes()

    return write


@pytest.fixture(scope="session")
def refusal() -> Callable[[bytes], str]:
    """Check that bytes are refused with a short reason on one line, and return the reason."""

    def check(content: bytes) -> str:
        with pytest.raises(ImageError) as caught:
            decode(content)
        assert str(caught.value) == caught.value.reason
        assert "\n" not in caught.value.reason and 0 < len(caught.value.reason) <= 150
        return caught.value.reason

    return check


@pytest.fixture(scope="session")
def png_header() -> Callable[..., bytes]:
    """Write a PNG that claims a size and holds almost no data."""

    def write(width: int, height: int, depth: int = 8, color: int = 0) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
        return _png_of(header, zlib.compress(bytes(100)))

    return write


@pytest.fixture(scope="session")
def png_16_bit() -> Callable[..., bytes]:
    """Write a 16-bit PNG of (height, width) gray or (height, width, 3) RGB values, which Pillow
    cannot write as RGB.
    """

    def write(values: np.ndarray) -> bytes:
        color = 0 if values.ndim == 2 else 2
        lines = values.astype(">u2").reshape(len(values), -1)
        data = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
        header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color, 0, 0, 0)
        return _png_of(header, data)

    return write


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Every twentieth of the shared photographs."""
    files = sorted((SHARED / "caltech-creatures").rglob("*.jpg"))[::20]
    if not files:
        pytest.skip(f"{SHARED / 'caltech-creatures'} is absent")
    return files


@pytest.fixture(scope="session")
def awkward() -> Path:
    """The shared folder of images in mixed formats."""
    folder = SHARED / "mixed-formats"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.fixture(scope="session")
def scene() -> Callable[..., Pixels]:
    """Draw an image (height, width, 3) with the spectrum of a photograph, another for each seed."""

    def draw(seed: int, height: int = 150, width: int = 200) -> Pixels:
        rng = np.random.default_rng(seed)
        frequency = _frequencies(height, width)
        phase = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
        planes = np.fft.irfft2(phase / frequency**1.5, s=(height, width))
        planes = 0.8 * planes[:1] + 0.2 * planes  # mostly gray, as nature is
        levels = (128 + 45 * planes / planes.std()).clip(0, 255).astype(np.uint8)
        return levels.transpose(1, 2, 0).copy()

    return draw


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write an image or bytes as a file of the dataset at tmp_path/data; returns the file."""

    def write(name: str, content: Pixels | bytes, **options: object) -> Path:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            Image.fromarray(content).save(file, **options)
        return file

    return write


def _shrink(pixels: Pixels) -> Pixels:
    small = cv2.resize(pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _watermark(pixels: Pixels) -> Pixels:
    white = (255,) * 3
    font = cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(pixels.copy(), "(c) Archive", (10, 90), font, 1, white, 2)


ALTERATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "smaller": _shrink,
    "cropped": lambda pixels: pixels[len(pixels) // 10 :, : pixels.shape[1] * 9 // 10],
    "mirrored": lambda pixels: pixels[:, ::-1],
    "brighter": lambda pixels: np.clip(pixels * 1.2, 0, 255).astype(np.uint8),
    "darker": lambda pixels: (pixels * 0.8).astype(np.uint8),
    "watermarked": _watermark,
}


@pytest.fixture(params=ALTERATIONS)
def alter(request: pytest.FixtureRequest) -> Callable[[Pixels], Pixels]:
    """Each way to make a near duplicate in turn."""
    return ALTERATIONS[request.param]


def _frequencies(height: int, width: int) -> NDArray[np.float64]:
    """Spatial frequencies of a real Fourier transform; none is zero."""
    vertical = np.fft.fftfreq(height)[:, None]
    horizontal = np.fft.rfftfreq(width)[None]
    return np.hypot(vertical, horizontal) + 1 / width


def _png_of(header: bytes, data: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", data)
        + _png_chunk(b"IEND", b"")
    )


def _png_chunk(name: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum
