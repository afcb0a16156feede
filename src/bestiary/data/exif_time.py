"""The header of an image file -> when and by which camera it was taken, as EXIF says it.

Knows nothing of pixels.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from PIL import ExifTags, Image

TIME_FORMAT = "%Y:%m:%d %H:%M:%S"
CAMERA_TAGS = (ExifTags.Base.Make, ExifTags.Base.Model)


class Taken(NamedTuple):
    """When and by which camera an image was taken.

    Attributes:
        seconds: Since 1970 by the camera's own clock; 0: not known.
        camera: Maker, model and serial number, as far as they are known.
    """

    seconds: float = 0.0
    camera: str = ""


def read_taken(image: Image.Image) -> Taken:
    """Read when and by which camera an open image was taken.

    Args:
        image: As Pillow opened it; its pixels are not read.

    Returns:
        What EXIF says; it is empty without a valid time.
    """
    try:
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # Pillow raises errors of many kinds for damaged EXIF, SyntaxError among them
        return Taken()
    seconds = _parse_time(
        details.get(ExifTags.Base.DateTimeOriginal),
        details.get(ExifTags.Base.SubsecTimeOriginal),
    )
    if not seconds:
        return Taken()
    words = [exif.get(tag) for tag in CAMERA_TAGS]
    words.append(details.get(ExifTags.Base.BodySerialNumber))
    camera = " ".join(_clean(word) for word in words if word)
    return Taken(seconds, camera)


def _parse_time(text: object, fraction: object) -> float:
    """Parse a time of EXIF and its decimals; 0 if it is none."""
    try:
        moment = datetime.strptime(_clean(text), TIME_FORMAT)
    except ValueError:
        return 0.0
    digits = _clean(fraction or "")
    decimals = float(f"0.{digits}") if digits.isdecimal() else 0.0
    return moment.replace(tzinfo=UTC).timestamp() + decimals


def _clean(value: object) -> str:
    """The text of a value of EXIF, without the blanks that pad it."""
    return str(value).strip("\0 ")
