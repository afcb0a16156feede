"""An image's facts and its name -> what is odd about it, in words. Nothing is left out for it."""

from pathlib import PurePosixPath

from bestiary.data.image_info import ImageInfo

TINY = (
    32  # pixels of the short side below which a network is shown mostly what enlarging has made up
)
LONG = 5.0  # long side over short side from which squashing or cropping loses the subject
BLANK = 6  # gray levels of the thumb within which an image shows nothing
FORMATS = {
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
_GUESSED = {
    "CMYK": "CMYK colors: converted without a profile",
    "deep gray": "gray of more than 8 bits: reduced to 8",
    "transparent": "transparent: laid over white",
}


def quality_warning(path: str, info: ImageInfo) -> str | None:
    """All that is odd about the usable image at `path`, joined by semicolons; None where nothing
    is.
    """
    odd = []
    if info.format and info.format != FORMATS.get(PurePosixPath(path).suffix.lower()):
        odd.append(f"wrong extension: the file is {info.format}")
    if info.frames > 1:
        odd.append(f"animated: {info.frames} frames, the first is taken")
    if min(info.height, info.width) < TINY:
        odd.append(f"tiny: {info.width} x {info.height} pixels")
    if max(info.height, info.width) >= LONG * min(info.height, info.width):
        odd.append(f"extreme aspect: {info.width} x {info.height} pixels")
    if info.spread <= BLANK:
        odd.append("blank: one color all over")
    if info.mode:
        odd.append(_GUESSED[info.mode])
    return "; ".join(odd) or None
