"""An image info and a file name -> quality warnings in words: tiny, blank, animated, odd aspect.

A warning never leaves an image out.
"""

from pathlib import PurePosixPath

from bestiary.data.image_info import ImageInfo

TINY_SIDE = 32  # pixels; a network sees mostly interpolation in an image with a shorter side
EXTREME_ASPECT_RATIO = 5.0  # long over short side; squashing or cropping loses the subject
BLANK_MAX_SPREAD = 6  # gray levels of the thumb; an image with no more shows nothing

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}

_MODE_WARNINGS = {
    "CMYK": "CMYK colors: converted without a profile",
    "deep gray": "gray of more than 8 bits: reduced to 8",
    "transparent": "transparent: laid over white",
}


def quality_warning(path: str, info: ImageInfo) -> str | None:
    """Describe what is odd about a usable image.

    Args:
        path: Path of the image; only its suffix is used.
        info: Image info of the file.

    Returns:
        All warnings, joined by semicolons, or None. The text before a colon is the warning's kind.
    """
    warnings = []
    suffix = PurePosixPath(path).suffix.lower()
    if info.format and info.format != FORMAT_OF_SUFFIX.get(suffix):
        warnings.append(f"wrong extension: the file is {info.format}")

    if info.frames > 1:
        warnings.append(f"animated: {info.frames} frames, the first is taken")

    short_side = min(info.height, info.width)
    long_side = max(info.height, info.width)
    if short_side < TINY_SIDE:
        warnings.append(f"tiny: {info.width} x {info.height} pixels")
    if long_side >= EXTREME_ASPECT_RATIO * short_side:
        warnings.append(f"extreme aspect: {info.width} x {info.height} pixels")

    if info.spread <= BLANK_MAX_SPREAD:
        warnings.append("blank: one color all over")

    if info.mode:
        warnings.append(_MODE_WARNINGS[info.mode])
    return "; ".join(warnings) or None
