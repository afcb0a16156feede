"""JPEG bytes -> altered near duplicates, and damaged files that no decoder reads completely.

Each change comes with a short phrase for the table of truth. Knows nothing of which images are
chosen, nor of their classes.
"""

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg

from bestiary.beasts.raster import Bytes

_Alter = Callable[[Bytes, np.random.Generator], tuple[Bytes, int, str]]
_Damage = Callable[[bytes, np.random.Generator], bytes]


def encode(image: Bytes, quality: int) -> bytes:
    """Encode an image as JPEG.

    Args:
        image: uint8 (h, w, 3), RGB.
        quality: 1 to 100.

    Returns:
        The file's bytes.
    """
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420")
    return data


def alter_copy(jpeg: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Make a near duplicate of an image.

    Args:
        jpeg: the original file.
        rng: draws the kind and strength of the change.

    Returns:
        The altered file, and a phrase for the change such as ``resized 0.7``.
    """
    image = simplejpeg.decode_jpeg(jpeg, "RGB")
    altered, quality, detail = _ALTERATIONS[int(rng.integers(len(_ALTERATIONS)))](image, rng)
    return encode(altered, quality), detail


def _encoded_again(image: Bytes, rng: np.random.Generator) -> tuple[Bytes, int, str]:
    quality = int(rng.integers(45, 76))
    return image, quality, f"re-encoded {quality}"


def _resized(image: Bytes, rng: np.random.Generator) -> tuple[Bytes, int, str]:
    factor = round(float(rng.uniform(0.5, 0.9)), 2)
    height, width = (max(8, round(side * factor)) for side in image.shape[:2])
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8), 90, f"resized {factor}"


def _cropped(image: Bytes, rng: np.random.Generator) -> tuple[Bytes, int, str]:
    share = round(float(rng.uniform(0.85, 0.95)), 2)
    height, width = (round(side * share) for side in image.shape[:2])
    top = int(rng.integers(image.shape[0] - height + 1))
    left = int(rng.integers(image.shape[1] - width + 1))
    return image[top : top + height, left : left + width], 92, f"cropped {share}"


def _flipped(image: Bytes, rng: np.random.Generator) -> tuple[Bytes, int, str]:
    return image[:, ::-1], int(rng.integers(88, 96)), "flipped"


def _brightened(image: Bytes, rng: np.random.Generator) -> tuple[Bytes, int, str]:
    factor = round(float(rng.uniform(1.08, 1.3)), 2)
    return (
        np.clip(image * np.float32(factor) + 0.5, 0, 255).astype(np.uint8),
        92,
        f"brightened {factor}",
    )


_ALTERATIONS: tuple[_Alter, ...] = (_encoded_again, _resized, _cropped, _flipped, _brightened)


def damage(jpeg: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Damage a file so that no decoder reads it completely.

    Args:
        jpeg: the file.
        rng: draws the kind of damage.

    Returns:
        The damaged file, and a phrase for the damage.
    """
    names = tuple(_DAMAGES)
    name = names[int(rng.integers(len(names)))]
    return _DAMAGES[name](jpeg, rng), name


def _truncated(jpeg: bytes, rng: np.random.Generator) -> bytes:
    return jpeg[: int(len(jpeg) * rng.uniform(0.25, 0.75))]


def _emptied(jpeg: bytes, rng: np.random.Generator) -> bytes:
    return b""


def _zeroed(jpeg: bytes, rng: np.random.Generator) -> bytes:
    return bytes(len(jpeg))


def _text(jpeg: bytes, rng: np.random.Generator) -> bytes:
    return (
        b"Version https://example.org/spec\n"
        b"The image is kept elsewhere; fetch it with the tool of your archive.\n"
    )


def _error_page(jpeg: bytes, rng: np.random.Generator) -> bytes:
    return (
        b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n"
        b"<body><h1>Not Found</h1><p>The requested image was not found on this "
        b"server.</p></body></html>\n"
    )


def _header_damaged(jpeg: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits in the first bytes, always including the JPEG marker."""
    head = np.frombuffer(jpeg[:64], np.uint8).copy()
    hit = np.concatenate([[0, 1, 2], rng.choice(np.arange(3, 64), 12, replace=False)])
    head[hit] ^= rng.integers(1, 256, len(hit), dtype=np.uint8)
    return head.tobytes() + jpeg[64:]


_DAMAGES: dict[str, _Damage] = {
    "truncated": _truncated,
    "empty": _emptied,
    "zero bytes": _zeroed,
    "text": _text,
    "error page": _error_page,
    "header damaged": _header_damaged,
}
