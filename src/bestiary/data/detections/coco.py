"""COCO and COCO Camera Traps JSON -> `Detections`: boxes in pixels with their classes.

COCO Camera Traps also has labels of whole images, the place, the time and the sequence. See
https://github.com/agentmorris/MegaDetector/tree/main/megadetector/data_management.
"""

from pathlib import Path
from typing import Any, NamedTuple

from bestiary.data.detections.json_stream import json_items, text_of
from bestiary.data.detections.types import (
    DETECTOR_CATEGORIES,
    EMPTY_WORDS,
    Collector,
    Detections,
)
from bestiary.errors import DataError
from bestiary.numbers import counted


class _Image(NamedTuple):
    """An image of the file."""

    path: str
    size: tuple[float, float]  # width and height in pixels; 0: not known
    time: str | None
    site: str | None
    sequence: str | None


def read_coco(file: Path, min_confidence: float) -> Detections:
    """Read a file of COCO or COCO Camera Traps.

    Args:
        file: The JSON file.
        min_confidence: Boxes with a `score` of less are no samples.

    Raises:
        DataError: It is no such file.
    """
    classes = _read_classes(file)
    images = _read_images(file)
    found = Collector("COCO", min_confidence)
    labels: dict[str, str | None] = {}
    n_several = 0
    n_boxes = 0
    for annotation in json_items(file, "annotations"):
        image = images.get(str(annotation.get("image_id"))) if _is_object(annotation) else None
        if image is None:
            raise DataError(f"{file}: an annotation is of an image that the file does not list")
        category = str(annotation.get("category_id"))
        if category not in classes:
            raise DataError(
                f"{file}: an annotation is of category {category[:20]!r}, which the file does not "
                f"list; write it again"
            )
        label = classes[category]
        if annotation.get("bbox"):
            n_boxes += 1
            score = annotation.get("score")
            confidence = score if isinstance(score, int | float) else None
            found.add_box(image.path, annotation["bbox"], confidence, label, image.size)
        elif labels.setdefault(image.path, label) != label:
            n_several += 1
    for image in images.values():
        label = labels.get(image.path)
        is_empty = n_boxes and (label or "").casefold() in EMPTY_WORDS
        found.add_image(
            image.path, None if is_empty else label, image.time, image.site, image.sequence
        )
    notes = []
    if n_several:
        notes.append(
            f"Labels: {counted(n_several, 'image has', 'images have')} a second label, which is "
            "not used"
        )
    return found.detections(notes)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _read_classes(file: Path) -> dict[str, str | None]:
    """Read number -> class; None for a category that only a detector tells apart."""
    names = {}
    for category in json_items(file, "categories"):
        name = text_of(category.get("name")) if _is_object(category) else None
        if name is None or category.get("id") is None:
            raise DataError(f"{file}: a category has no id or no name; add it")
        names[str(category["id"])] = name
    only_detector = {name.casefold() for name in names.values()} <= DETECTOR_CATEGORIES
    return {key: None if only_detector else name for key, name in names.items()}


def _read_images(file: Path) -> dict[str, _Image]:
    images = {}
    for item in json_items(file, "images"):
        path = text_of(item.get("file_name")) if _is_object(item) else None
        if path is None or item.get("id") is None:
            raise DataError(f"{file}: an image has no id or no file_name; add it")
        key = str(item["id"])
        if key in images:
            raise DataError(
                f"{file}: two images have the id {key[:20]!r}, such as {path!r}; number them"
            )
        images[key] = _Image(
            path,
            (_pixels(item, "width"), _pixels(item, "height")),
            text_of(item.get("datetime") or item.get("date_captured")),
            text_of(item.get("location")),
            text_of(item.get("seq_id")),
        )
    if not images:
        raise DataError(f"{file}: lists no images")
    return images


def _pixels(item: dict[str, Any], key: str) -> float:
    value = item.get(key)
    return float(value) if isinstance(value, int | float) and 0 < value < 1e6 else 0.0
