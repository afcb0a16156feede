"""A picture's facts and its name -> what is odd about it, in words. Nothing is left out for it."""

from pathlib import PurePosixPath

from bestiary.data.image_info import Facts

TINY = (
    32  # pixels of the short side below which a network is shown mostly what enlarging has made up
)
LONG = 5.0  # long side over short side from which squashing or cropping loses the subject
BLANK = 6  # grey levels of the thumb within which a picture shows nothing
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
    "CMYK": "CMYK colours: converted without a profile",
    "deep grey": "grey of more than 8 bits: reduced to 8",
    "transparent": "transparent: laid over white",
}


def doubt_about(path: str, facts: Facts) -> str | None:
    """All that is odd about the usable picture at `path`, joined by semicolons; None where nothing is."""
    odd = []
    if facts.format and facts.format != FORMATS.get(PurePosixPath(path).suffix.lower()):
        odd.append(f"wrong extension: the file is {facts.format}")
    if facts.frames > 1:
        odd.append(f"animated: {facts.frames} frames, the first is taken")
    if min(facts.height, facts.width) < TINY:
        odd.append(f"tiny: {facts.width} x {facts.height} pixels")
    if max(facts.height, facts.width) >= LONG * min(facts.height, facts.width):
        odd.append(f"extreme aspect: {facts.width} x {facts.height} pixels")
    if facts.spread <= BLANK:
        odd.append("blank: one colour all over")
    if facts.mode:
        odd.append(_GUESSED[facts.mode])
    return "; ".join(odd) or None
