"""Label Studio's JSON export -> `Detections`: choices of whole images, and labeled rectangles.

Reads the exports JSON and JSON-MIN. See https://labelstud.io/guide/export.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bestiary.data.detections.json_stream import json_items, text_of
from bestiary.data.detections.types import Collector, Detections
from bestiary.errors import DataError
from bestiary.numbers import counted

IMAGE_KEYS = ("image", "img", "photo", "file", "url")
_UPLOAD = re.compile(r"/data/upload/\d+/(?:[0-9a-f]{8}-)?(.+)")


def read_label_studio(file: Path, min_confidence: float) -> Detections:
    """Read an export of Label Studio.

    Args:
        file: The JSON file.
        min_confidence: Of no use: people draw these boxes.

    Raises:
        DataError: It is no such file.
    """
    found = Collector("Label Studio", min_confidence)
    n_open = 0
    n_several = 0
    for task in json_items(file, ""):
        path = _path_of(task) if isinstance(task, dict) else None
        if path is None:
            raise DataError(
                f"{file}: a task has no image; export it from a project of images as JSON"
            )
        labels = []
        n_boxes = 0
        for result in _results(task):
            value = result["value"]
            labels += _names(value.get("choices"))
            for label in _names(value.get("rectanglelabels"))[:1]:
                n_boxes += 1
                box = [value.get(key) for key in ("x", "y", "width", "height")]
                found.add_box(path, box, None, label, size=(100.0, 100.0))
        labels += _names(task.get("choice"))
        n_open += not labels and not n_boxes
        n_several += len(set(labels)) > 1
        found.add_image(path, labels[0] if labels else None)
    notes = []
    if n_open:
        notes.append(f"Label Studio: {counted(n_open, 'image has', 'images have')} no label yet")
    if n_several:
        notes.append(
            f"Labels: {counted(n_several, 'image has', 'images have')} several labels; the first "
            "is taken"
        )
    return found.detections(notes)


def _path_of(task: dict[str, Any]) -> str | None:
    """The path of a task's image: without the address of the server and its prefix of uploads."""
    data = task.get("data", task)
    if not isinstance(data, dict):
        return None
    address = next((text for key in IMAGE_KEYS if (text := text_of(data.get(key)))), None)
    if address is None:
        return None
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/a.jpg
    if local:
        return local[0]
    upload = _UPLOAD.search(parts.path)
    return upload[1] if upload else unquote(parts.path).lstrip("/")


def _results(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The regions and choices of the first annotation that was not canceled."""
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else []:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            for result in annotation.get("result") or []:
                if isinstance(result, dict) and isinstance(result.get("value"), dict):
                    yield result
            return


def _names(value: object) -> list[str]:
    if isinstance(value, dict):
        value = value.get("choices")
    values = value if isinstance(value, list) else [value]
    return [name for one in values if (name := text_of(one))]
