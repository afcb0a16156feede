"""An image info and a file name -> quality warnings in words: tiny, blank, animated, odd aspect.

A warning never leaves an image out.
"""

from bestiary.data.bit_depth import FULL_RANGE, WhiteLevel
from bestiary.data.file_kinds import SUFFIX_FORMATS, suffix_of
from bestiary.data.image_info import ImageInfo

TINY_SIDE = 32  # pixels; a network sees mostly interpolation in an image with a shorter side
EXTREME_ASPECT_RATIO = 5.0  # long over short side; squashing or cropping loses the subject
MIN_RANGE_USED = 0.125  # of the range up to white; less is nearly black
BLANK_MAX_SPREAD = 6  # gray levels of the thumb; an image with no more shows nothing

_MODE_WARNINGS = {
    "CMYK": "CMYK colors: converted without a profile",
    "deep": "more than 8 bits: reduced to 8",
    "transparent": "transparent: laid over white",
    "all transparent": "transparent all over: the alpha channel is ignored",
}


def quality_warning(path: str, info: ImageInfo, white: WhiteLevel = FULL_RANGE) -> str | None:
    """Describe what is odd about a usable image.

    Args:
        path: Path of the image; only its suffix is used.
        info: Image info of the file.
        white: Value of white in images of more than 8 bits that do not say it.

    Returns:
        All warnings, joined by semicolons, or None. The text before a colon is the warning's kind.
    """
    warnings = [
        *_file_warnings(path, info),
        *_size_warnings(info),
        *_content_warnings(info, white),
    ]
    return "; ".join(warnings) or None


def _file_warnings(path: str, info: ImageInfo) -> list[str]:
    """Odd name, metadata or number of frames."""
    warnings = []
    expected = SUFFIX_FORMATS.get(suffix_of(path))
    if info.format and info.format != expected:
        problem = "wrong extension" if suffix_of(path) else "no extension"
        warnings.append(f"{problem}: the file is {info.format}")
    if info.has_damaged_metadata:
        warnings.append("damaged metadata: the pixels are complete")

    if info.frames > 1:
        warnings.append(f"animated: {info.frames} frames, the first is taken")

    return warnings


def _size_warnings(info: ImageInfo) -> list[str]:
    """Odd height and width."""
    warnings = []
    short_side = min(info.height, info.width)
    long_side = max(info.height, info.width)
    if short_side < TINY_SIDE:
        warnings.append(f"tiny: {info.width} x {info.height} pixels")
    if long_side >= EXTREME_ASPECT_RATIO * short_side:
        warnings.append(f"extreme aspect: {info.width} x {info.height} pixels")

    return warnings


def _content_warnings(info: ImageInfo, white: WhiteLevel) -> list[str]:
    """Odd colors."""
    warnings = []
    if info.spread <= BLANK_MAX_SPREAD:
        warnings.append("blank: one color all over")

    if info.mode:
        warnings.append(_MODE_WARNINGS[info.mode])
    if info.sample_kind:
        level = white.of(info.sample_kind)
        if info.max_value < MIN_RANGE_USED * level:
            warnings.append(f"dark: values reach {info.max_value:g} of {level:g}")
    return warnings
