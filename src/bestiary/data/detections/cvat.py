"""CVAT's export "CVAT for images 1.1" (XML) -> `Detections`: tags of whole images, and boxes.

CVAT's other export of classes, "ImageNet", is a folder of class folders, which needs no reader.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

from bestiary.data.detections.json_stream import MAX_JSON_BYTES, json_errors, text_of
from bestiary.data.detections.types import Collector, Detections
from bestiary.errors import DataError, one_line
from bestiary.regular_files import check_regular

HEAD_BYTES = 1 << 16  # in which a document type would stand


def read_cvat(file: Path, min_confidence: float) -> Detections:
    """Read an export of CVAT.

    Args:
        file: The XML file.
        min_confidence: Of no use: people draw these boxes.

    Raises:
        DataError: It is no such file.
    """
    found = Collector("CVAT", min_confidence)
    n_images = 0
    for image in _images(file):
        path = text_of(image.get("name"))
        if path is None:
            raise DataError(f"{file}: an image has no name; export it again")
        n_images += 1
        tags = [label for tag in image.findall("tag") if (label := text_of(tag.get("label")))]
        found.add_image(path, tags[0] if tags else None)
        size = (_number(image, "width"), _number(image, "height"))
        for box in image.findall("box"):
            left, top = _number(box, "xtl"), _number(box, "ytl")
            values = [left, top, _number(box, "xbr") - left, _number(box, "ybr") - top]
            found.add_box(path, values, None, text_of(box.get("label")), size)
    if not n_images:
        raise DataError(f"{file}: lists no images; export it as CVAT for images 1.1")
    return found.detections()


def _images(file: Path) -> Iterator[Element]:
    """Yield the elements of images, and forget each afterwards."""
    with json_errors(file):
        check_regular(file, MAX_JSON_BYTES)
        with file.open("rb") as stream:
            if b"<!DOCTYPE" in stream.read(HEAD_BYTES):
                raise DataError(f"{file}: has a document type, which is never read; export again")
    try:
        root = None
        for event, element in iterparse(file, ("start", "end")):
            root = element if root is None else root
            if event == "end" and element.tag == "image":
                yield element
                root.clear()
    except (ParseError, OSError) as error:
        raise DataError(f"{file}: is not a whole XML file ({one_line(error, 80)})") from None


def _number(element: Element, key: str) -> float:
    try:
        return float(element.get(key, "nan"))
    except ValueError:
        return float("nan")
