"""Photographs -> 40 files of every kind that cameras, scanners and web sites make."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms

Save = Callable[[Image.Image, Path], None]


def _jpeg(side: int, mode: str = "RGB", **options: object) -> Save:
    """A JPEG whose short side has `side` pixels; 0: as it is."""

    def save(image: Image.Image, file: Path) -> None:
        _sized(image, side).convert(mode).save(
            file.with_suffix(".jpg"), **{"quality": 90} | options
        )

    return save


def _sized(image: Image.Image, side: int) -> Image.Image:
    if not side:
        return image
    scale = side / min(image.size)
    return image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )


def _turned(orientation: int) -> Save:
    def save(image: Image.Image, file: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        # Odd sides, so that a wrong order of turning and shrinking shows.
        _sized(image, 701).save(file.with_suffix(".jpg"), quality=90, exif=exif)

    return save


def _other_profile(image: Image.Image, file: Path) -> None:
    """A color profile, which the networks never see."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image.save(file.with_suffix(".jpg"), quality=90, icc_profile=profile)


def _transparent(mode: str, suffix: str, **options: object) -> Save:
    """Alpha that falls from the left to the right, over which white must show."""

    def save(image: Image.Image, file: Path) -> None:
        alpha = np.tile(np.linspace(255, 0, image.width).astype(np.uint8), (image.height, 1))
        image = image.convert("L" if mode == "LA" else "RGB")
        image.putalpha(Image.fromarray(alpha))
        image.convert(mode).save(file.with_suffix(suffix), **options)

    return save


def _hidden(image: Image.Image, file: Path) -> None:
    """Alpha that hides everything, written by mistake."""
    image = image.convert("RGB")
    image.putalpha(0)
    image.save(file.with_suffix(".png"))


def _palette(image: Image.Image, file: Path, **options: object) -> None:
    image.quantize(64).save(file.with_suffix(".png"), **options)


def _see_through_color(image: Image.Image, file: Path) -> None:
    _palette(image, file, transparency=3)


def _plain(suffix: str, mode: str = "RGB", side: int = 0, **options: object) -> Save:
    def save(image: Image.Image, file: Path) -> None:
        _sized(image.convert(mode), side).save(file.with_suffix(suffix), **options)

    return save


def _deep(channels: int) -> Save:
    """16 bits a sample: gray, RGB or RGBA."""

    def save(image: Image.Image, file: Path) -> None:
        pixels = np.asarray(image).astype(np.uint16) * 257 + 100
        pixels = pixels[..., 1] if channels == 1 else pixels[..., ::-1]
        if channels == 4:
            alpha = np.tile(
                np.linspace(65535, 9000, image.width).astype(np.uint16), (image.height, 1)
            )
            pixels = np.dstack([pixels, alpha])
        cv2.imwrite(str(file.with_suffix(".png")), np.minimum(pixels, 65535).astype(np.uint16))

    return save


KINDS: dict[str, Save] = {
    **{f"exif-{orientation}": _turned(orientation) for orientation in range(1, 9)},
    "jpeg-as-it-is": _jpeg(0),
    "jpeg-gray": _jpeg(0, "L"),
    "jpeg-gray-large": _jpeg(901, "L"),
    "jpeg-cmyk": _jpeg(0, "CMYK"),
    "jpeg-cmyk-large": _jpeg(900, "CMYK"),
    "jpeg-progressive": _jpeg(0, progressive=True),
    "jpeg-full-color": _jpeg(640, subsampling=0),
    "jpeg-small": _jpeg(90),
    "jpeg-poor": _jpeg(0, quality=25),
    "jpeg-900": _jpeg(900),
    "jpeg-1203": _jpeg(1203),
    "jpeg-1600": _jpeg(1600),
    "jpeg-3000": _jpeg(3000),
    "jpeg-profile": _other_profile,
    "png-rgb": _plain(".png"),
    "png-gray": _plain(".png", "L"),
    "png-bits": _plain(".png", "1"),
    "png-large": _plain(".png", side=800),
    "png-palette": _palette,
    "png-palette-transparent": _see_through_color,
    "png-alpha": _transparent("RGBA", ".png"),
    "png-gray-alpha": _transparent("LA", ".png"),
    "png-hidden": _hidden,
    "png-16-gray": _deep(1),
    "png-16-rgb": _deep(3),
    "png-16-rgba": _deep(4),
    "webp": _plain(".webp", quality=90),
    "webp-lossless": _plain(".webp", lossless=True),
    "webp-alpha": _transparent("RGBA", ".webp", lossless=True),
    "gif": _plain(".gif"),
    "bmp": _plain(".bmp"),
    "avif": _plain(".avif", quality=90),
}


def write_kinds(photographs: Sequence[Path], folder: Path) -> list[Path]:
    """Write a file of each kind, each of another photograph.

    Args:
        photographs: at least one.
        folder: new folder.

    Returns:
        The files, in the order of `KINDS`.
    """
    folder.mkdir(parents=True)
    for number, (name, save) in enumerate(KINDS.items()):
        image = Image.open(photographs[number % len(photographs)]).convert("RGB")
        save(image, folder / f"{number:02d}-{name}")
    return sorted(folder.iterdir())
