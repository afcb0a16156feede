"""Images of more than 8 bits a sample -> 8 bits, by the value that means white.

A camera of 12 bits fills a file of 16 bits to a sixteenth, and a file of floats may end at 1 or at
255. The file's own word decides; without one, the range of the whole dataset does, and never that
of one image. Works in strips, so that little memory is needed. Knows nothing of files on a disk.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bestiary.errors import ImageError

SampleKind = Literal["", "integers", "floats"]
INTEGER_WHITES = (255, 1023, 4095, 16383, 65535)  # 8, 10, 12, 14 and 16 bits
MAX_OVERSHOOT = 1.05  # of 255: filters and resizing leave values a little outside the range
MAX_UNIT_VALUE = 2.0  # floats up to this are taken for 0...1 with overshoot
MAX_INTEGER = 65535
FULL_DEPTH = 16
STRIP_PIXELS = 1 << 20

# TIFF 6.0, section 8 and page 39
TAG_BITS_PER_SAMPLE = 258
TAG_PHOTOMETRIC = 262
TAG_S_MAX_SAMPLE_VALUE = 341
WHITE_IS_ZERO = 0


@dataclass(frozen=True, slots=True)
class WhiteLevel:
    """The value of white in images of more than 8 bits that do not say it themselves.

    Attributes:
        integers: In images of whole numbers.
        floats: In images of floating-point numbers.
    """

    integers: float = 65535.0
    floats: float = 1.0

    def of(self, kind: SampleKind) -> float:
        """The value for one kind of samples."""
        return self.floats if kind == "floats" else self.integers


FULL_RANGE = WhiteLevel()


@dataclass(frozen=True, slots=True)
class DeepSamples:
    """The samples of an image with more than 8 bits.

    Attributes:
        values: Gray (height, width) or RGB (height, width, 3).
        alpha: Opacity, 0 to 65,535 (height, width); None: opaque.
        own_white: The value of white by the file's own word; None: it does not say.
        is_inverted: Whether 0 means white.
    """

    values: NDArray[Any]
    alpha: NDArray[np.uint16] | None = None
    own_white: float | None = None
    is_inverted: bool = False

    @property
    def kind(self) -> SampleKind:
        """Integers or floats."""
        return "floats" if self.values.dtype.kind == "f" else "integers"

    @property
    def max_value(self) -> float:
        """The largest value."""
        return float(self.values.max())

    def to_pixels(self, white: WhiteLevel | None) -> NDArray[np.uint8]:
        """Scale to 8 bits, RGB. Floats a little outside of their range are cut off.

        Args:
            white: The value of white if the file does not say it; None: as the largest value
                suggests.

        Raises:
            ImageError: There are values that no gray can mean.
        """
        level = self.level(white)
        self._check_range(level)
        height, width = self.values.shape[:2]
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, STRIP_PIXELS // max(1, width))
        for start in range(0, height, rows):
            strip = slice(start, start + rows)
            shares = self._shares(strip, level)
            scaled = np.rint(shares * 255)
            # Gray is repeated over the three channels.
            pixels[strip] = scaled if scaled.ndim == 3 else scaled[..., None]
        return pixels

    def level(self, white: WhiteLevel | None) -> float:
        """The value of white, by the file's own word or as for `to_pixels`."""
        if self.own_white is not None:
            return self.own_white
        if white is None:
            return guess_white(self.kind, self.max_value)
        return white.of(self.kind)

    def _check_range(self, level: float) -> None:
        """Refuse values far above white: the image would be a white page."""
        allowed = level * MAX_OVERSHOOT
        if self.kind == "floats" and level == FULL_RANGE.floats:
            allowed = MAX_UNIT_VALUE
        if self.own_white is None and self.max_value > allowed:
            raise ImageError(f"values reach {self.max_value:g} where white is {level:g}")

    def _shares(self, strip: slice, level: float) -> NDArray[np.float64]:
        """Divide a strip by white, to 0...1, with transparency over white."""
        values = self.values[strip].astype(np.float64)
        lowest = float(values.min())
        if not np.isfinite(values).all() or lowest < -level * (MAX_OVERSHOOT - 1):
            raise ImageError(f"gray values outside 0...{level:g}")
        shares: NDArray[np.float64] = np.clip(values / level, 0, 1)
        if self.is_inverted:
            shares = 1 - shares
        if self.alpha is not None:
            alpha = self.alpha[strip][..., None] / MAX_INTEGER
            shares = shares * alpha + (1 - alpha)
        return shares


def read_deep(image: Image.Image, content: bytes) -> DeepSamples | None:
    """Read the samples of a Pillow image with more than 8 bits; None: it has 8.

    Args:
        image: Loaded or not, upright or not.
        content: The whole file, empty if unknown.

    Raises:
        ImageError: There are values that no gray can mean.
    """
    if _is_deep_gray(image):
        image.load()
        values = np.asarray(image)
        _check_values(values)
        white = _own_white(image, content, values)
        is_inverted = _tag(image, TAG_PHOTOMETRIC) == WHITE_IS_ZERO
        return DeepSamples(values, own_white=white, is_inverted=is_inverted)
    return _read_deep_color(content) if is_deep(image, content) else None


def is_deep(image: Image.Image, content: bytes) -> bool:
    """Return whether an image has more than 8 bits a sample, of which Pillow may take 8.

    Args:
        image: Loaded or not.
        content: The whole file, empty if unknown.
    """
    if _is_deep_gray(image):
        return True
    if image.format == "PNG":
        return content[24:25] == b"\x10" and content[25:26] in (b"\x02", b"\x04", b"\x06")
    if image.format == "TIFF" and image.mode in ("RGB", "RGBA"):
        return bool(_tag(image, TAG_BITS_PER_SAMPLE) == FULL_DEPTH)
    return False


def guess_white(kind: SampleKind, max_value: float) -> float:
    """Choose the least usual value of white that is not below the largest value.

    Args:
        kind: Integers or floats.
        max_value: Of all images of a dataset.

    Example:
        >>> guess_white("integers", 4001), guess_white("floats", 1.02), guess_white("floats", 254)
        (4095.0, 1.0, 255.0)
    """
    if kind == "floats":
        if max_value <= MAX_UNIT_VALUE:
            return 1.0
        max_value /= MAX_OVERSHOOT
    for white in INTEGER_WHITES:
        if max_value <= white:
            return float(white)
    return float(MAX_INTEGER)


def white_of_dataset(samples: Iterable[tuple[SampleKind, float]]) -> WhiteLevel:
    """Choose the value of white for a dataset from the largest values of its images.

    Args:
        samples: Kind and largest value of each image; images of 8 bits have no kind.
    """
    largest: dict[SampleKind, float] = {}
    for kind, max_value in samples:
        if kind:
            largest[kind] = max(max_value, largest.get(kind, 0.0))
    found = {kind: guess_white(kind, max_value) for kind, max_value in largest.items()}
    return WhiteLevel(
        integers=found.get("integers", FULL_RANGE.integers),
        floats=found.get("floats", FULL_RANGE.floats),
    )


def _check_values(values: NDArray[Any]) -> None:
    """Refuse what is no gray: infinite values, and integers of more than 16 bits."""
    lowest = float(values.min())
    largest = float(values.max())
    is_finite = math.isfinite(lowest) and math.isfinite(largest)
    is_integer = values.dtype.kind != "f"
    if not is_finite or (is_integer and lowest < 0) or largest > MAX_INTEGER * MAX_OVERSHOOT:
        raise ImageError("gray values outside 0...65535")


def _own_white(image: Image.Image, content: bytes, values: NDArray[Any]) -> float | None:
    """Read the value of white that a file states; None if it states none."""
    if image.format in ("PPM", "JPEG2000"):
        return float(MAX_INTEGER)  # Pillow has scaled the samples by the depth in the header
    if image.format == "PNG":
        return _white_by_significant_bits(_png_significant_bits(content), values)

    stated = _tag(image, TAG_S_MAX_SAMPLE_VALUE)
    if isinstance(stated, int | float) and math.isfinite(stated) and stated > 0:
        return float(stated)
    bits = _tag(image, TAG_BITS_PER_SAMPLE)
    is_integer = values.dtype.kind != "f"
    if is_integer and isinstance(bits, int) and 8 < bits < FULL_DEPTH:
        return float((1 << bits) - 1)
    return None


def _tag(image: Image.Image, tag: int) -> Any:
    """The first value of a TIFF tag; None if the image has none."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None
    value = tags.get(tag)
    if isinstance(value, tuple):
        return value[0] if value else None
    return value


def _png_significant_bits(content: bytes) -> int:
    """Read the first value of a PNG's sBIT chunk, which stands before the pixels; 0: none."""
    start = content.find(b"sBIT", 0, content.find(b"IDAT"))
    return content[start + 4] if start >= 0 else 0


def _white_by_significant_bits(bits: int, values: NDArray[Any]) -> float | None:
    """Turn a PNG's significant bits into a value of white.

    PNG wants samples to be scaled up to 16 bits (PNG, section 11.3.2.6): the low bits are then zero
    or repeat the high ones. Some programs write the number and do not scale.
    """
    if not 8 < bits < FULL_DEPTH:
        return None
    shift = FULL_DEPTH - bits
    low = values & ((1 << shift) - 1)
    is_scaled = not low.any() or np.array_equal(low, values >> bits)
    return float(MAX_INTEGER) if is_scaled else float((1 << bits) - 1)


def _is_deep_gray(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _read_deep_color(content: bytes) -> DeepSamples | None:
    """Read 16-bit color with OpenCV; None where it cannot, which Pillow then reads at 8 bits."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    encoded = np.frombuffer(content, np.uint8)
    try:
        decoded = cv2.imdecode(encoded, flags)
    except cv2.error:
        return None
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        return None
    has_alpha = decoded.shape[2] == 4 and decoded[..., 3].any()  # zeros alone say nothing
    alpha = decoded[..., 3] if has_alpha else None
    return DeepSamples(decoded[..., 2::-1], alpha)
