"""Pictures made on the spot, and the project's shared pictures where they lie beside the repository."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bestiary.data.decode import Pixels

SHARED = Path(__file__).parents[3] / "shared" / "data"
Psnr = Callable[[NDArray[np.generic], NDArray[np.generic]], float]


@pytest.fixture(scope="session")
def smooth() -> Pixels:
    """A picture (230, 310, 3) of slow waves in all three channels: resampling of any good kind agrees on it."""
    y, x = np.mgrid[0:230, 0:310]
    waves = [np.sin(x / 23 + 1) + np.cos(y / 31), np.sin((x + y) / 37), np.cos(x / 29 - y / 41)]
    return np.stack([(127 + 60 * wave).clip(0, 255) for wave in waves], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def detailed() -> Pixels:
    """A picture (900, 1200, 3) with detail at every scale, its spectrum falling as a photograph's does, plus edges."""
    rng = np.random.default_rng(0)
    height, width = 900, 1200
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
    planes = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * rng.random(frequency.shape))
        plane = np.fft.irfft2(phase / frequency**1.2, s=(height, width))
        planes.append(128 + 45 * plane / plane.std())
    picture = np.stack(planes, axis=2)
    picture[200:500, 300:700] += 60  # a box and fine stripes, which alias when a resize does not average
    picture[:, 900:1100] += 50 * (np.arange(200) % 4 < 2)[None, :, None]
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def psnr() -> Psnr:
    """Peak signal to noise ratio in dB of two 8-bit pictures."""

    def measure(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
        assert one.shape == other.shape
        error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
        return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))

    return measure


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pixels or a Pillow picture -> a file's bytes in the format named."""

    def write(picture: Pixels | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        buffer = io.BytesIO()
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind, **options)
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
    """The shared folder of pictures in mixed formats."""
    folder = SHARED / "mixed-formats"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder
