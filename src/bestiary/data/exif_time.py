"""The header of an image file -> when, where and by which camera it was taken, as EXIF says it.

Knows nothing of pixels.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from PIL import ExifTags, Image

TIME_FORMAT = "%Y:%m:%d %H:%M:%S"
CAMERA_TAGS = (ExifTags.Base.Make, ExifTags.Base.Model)


class Taken(NamedTuple):
    """When, where and by which camera an image was taken.

    Attributes:
        seconds: Since 1970 by the camera's own clock; 0: not known.
        camera: Maker, model and serial number, as far as they are known.
        zone: Offset of that clock, such as +02:00; empty: not known.
        lat: Degrees north, -90 to 90; None: not known.
        lon: Degrees east, -180 to 180; None: not known.
    """

    seconds: float = 0.0
    camera: str = ""
    zone: str = ""
    lat: float | None = None
    lon: float | None = None


def read_taken(image: Image.Image) -> Taken:
    """Read when, where and by which camera an open image was taken.

    Args:
        image: As Pillow opened it; its pixels are not read.

    Returns:
        What EXIF says. Without a valid time, camera and zone are empty.
    """
    try:
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:  # Pillow raises errors of many kinds for damaged EXIF, SyntaxError among them
        return Taken()
    lat, lon = _read_place(place)
    seconds = _parse_time(
        details.get(ExifTags.Base.DateTimeOriginal),
        details.get(ExifTags.Base.SubsecTimeOriginal),
    )
    if not seconds:
        return Taken(lat=lat, lon=lon)
    words = [exif.get(tag) for tag in CAMERA_TAGS]
    words.append(details.get(ExifTags.Base.BodySerialNumber))
    camera = " ".join(_clean(word) for word in words if word)
    zone = _clean(details.get(ExifTags.Base.OffsetTimeOriginal) or "")
    return Taken(seconds, camera, zone, lat, lon)


def _parse_time(text: object, fraction: object) -> float:
    """Parse a time of EXIF and its decimals; 0 if it is none."""
    try:
        moment = datetime.strptime(_clean(text), TIME_FORMAT)
    except ValueError:
        return 0.0
    digits = _clean(fraction or "")
    decimals = float(f"0.{digits}") if digits.isdecimal() else 0.0
    return moment.replace(tzinfo=UTC).timestamp() + decimals


def _read_place(place: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees; both or none."""
    lat = _degrees(place.get(ExifTags.GPS.GPSLatitude), 90)
    lon = _degrees(place.get(ExifTags.GPS.GPSLongitude), 180)
    if lat is None or lon is None or lat == lon == 0:  # 0, 0 is how cameras write: no fix
        return None, None
    south = _clean(place.get(ExifTags.GPS.GPSLatitudeRef)).upper() == "S"
    west = _clean(place.get(ExifTags.GPS.GPSLongitudeRef)).upper() == "W"
    return -lat if south else lat, -lon if west else lon


def _degrees(parts: Any, most: float) -> float | None:
    """Degrees, minutes and seconds as one number; None if they are none up to `most`."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    return round(value, 7) if math.isfinite(value) and 0 <= value <= most else None


def _clean(value: object) -> str:
    """The text of a value of EXIF, without the blanks that pad it."""
    return str(value).strip("\0 ")
