"""Images made on the spot, and the project's shared images where they lie beside the repository."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bestiary.data.decode import Pixels

SHARED = Path(__file__).parents[3] / "shared" / "data"
Psnr = Callable[[NDArray[np.generic], NDArray[np.generic]], float]


@pytest.fixture(scope="session")
def smooth() -> Pixels:
    """An image (230, 310, 3) of slow waves in all three channels: resampling of any good kind
    agrees on it.
    """
    y, x = np.mgrid[0:230, 0:310]
    waves = [np.sin(x / 23 + 1) + np.cos(y / 31), np.sin((x + y) / 37), np.cos(x / 29 - y / 41)]
    return np.stack([(127 + 60 * wave).clip(0, 255) for wave in waves], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def detailed() -> Pixels:
    """An image (900, 1200, 3) with detail at every scale, its spectrum falling as a photograph's
    does, plus edges.
    """
    rng = np.random.default_rng(0)
    height, width = 900, 1200
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
    planes = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * rng.random(frequency.shape))
        plane = np.fft.irfft2(phase / frequency**1.2, s=(height, width))
        planes.append(128 + 45 * plane / plane.std())
    image = np.stack(planes, axis=2)
    image[200:500, 300:700] += (
        60  # a box and fine stripes, which alias when a resize does not average
    )
    image[:, 900:1100] += 50 * (np.arange(200) % 4 < 2)[None, :, None]
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def psnr() -> Psnr:
    """Peak signal to noise ratio in dB of two 8-bit images."""

    def measure(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
        assert one.shape == other.shape
        error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
        return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))

    return measure


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pixels or a Pillow image -> a file's bytes in the format named."""

    def write(image: Pixels | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        buffer = io.BytesIO()
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
            buffer, kind, **options
        )
        return buffer.getvalue()

    return write


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Every twentieth of the shared real photographs."""
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


Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def scene() -> Callable[..., Pixels]:
    """An image (height, width, 3) whose spectrum falls as a photograph's does; every seed gives
    another.
    """

    def draw(seed: int, height: int = 150, width: int = 200) -> Pixels:
        rng = np.random.default_rng(seed)
        frequency = (
            np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
        )
        phase = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
        planes = np.fft.irfft2(phase / frequency**1.5, s=(height, width))
        planes = 0.8 * planes[:1] + 0.2 * planes  # mostly gray, as nature is
        return (
            (128 + 45 * planes / planes.std())
            .clip(0, 255)
            .astype(np.uint8)
            .transpose(1, 2, 0)
            .copy()
        )

    return draw


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write an image or bytes as a file of the data set at tmp_path/data; gives the file."""

    def write(name: str, content: Pixels | bytes, **options: object) -> Path:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            Image.fromarray(content).save(file, **options)
        return file

    return write


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "smaller": lambda p: np.asarray(
        cv2.resize(p, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), np.uint8
    ),
    "cropped": lambda p: p[len(p) // 10 :, : p.shape[1] * 9 // 10],
    "mirrored": lambda p: p[:, ::-1],
    "brighter": lambda p: np.clip(p * 1.2, 0, 255).astype(np.uint8),
    "darker": lambda p: (p * 0.8).astype(np.uint8),
    "marked": lambda p: cv2.putText(
        p.copy(), "(c) Archive", (10, 90), cv2.FONT_HERSHEY_SIMPLEX, 1, (255,) * 3, 2
    ),
}


@pytest.fixture(params=COPIES)
def copying(request: pytest.FixtureRequest) -> Callable[[Pixels], Pixels]:
    """Each way of copying in turn."""
    return COPIES[request.param]
