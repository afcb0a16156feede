"""Pictures with detail at every scale, all different, as files in class folders."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def scene() -> Callable[..., Pixels]:
    """A picture (height, width, 3) whose spectrum falls as a photograph's does; every seed gives another."""

    def draw(seed: int, height: int = 150, width: int = 200) -> Pixels:
        rng = np.random.default_rng(seed)
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
        phase = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
        planes = np.fft.irfft2(phase / frequency**1.5, s=(height, width))
        planes = 0.8 * planes[:1] + 0.2 * planes  # mostly grey, as nature is
        return (128 + 45 * planes / planes.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()

    return draw


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a picture or bytes as a file of the data set at tmp_path/data; gives the file."""

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
    "smaller": lambda p: np.asarray(cv2.resize(p, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), np.uint8),
    "cropped": lambda p: p[len(p) // 10 :, : p.shape[1] * 9 // 10],
    "mirrored": lambda p: p[:, ::-1],
    "brighter": lambda p: np.clip(p * 1.2, 0, 255).astype(np.uint8),
    "darker": lambda p: (p * 0.8).astype(np.uint8),
    "marked": lambda p: cv2.putText(p.copy(), "(c) Archive", (10, 90), cv2.FONT_HERSHEY_SIMPLEX, 1, (255,) * 3, 2),
}


@pytest.fixture(params=COPIES)
def copying(request: pytest.FixtureRequest) -> Callable[[Pixels], Pixels]:
    """Each way of copying in turn."""
    return COPIES[request.param]
