"""MegaDetector's batch format -> `Detections`: the boxes of animals above a confidence.

The format is that of https://lila.science/megadetector-output-format, versions 1.0 to 1.6, which
AddaxAI, SpeciesNet and other tools write too.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bestiary.data.detections.json_stream import json_items, json_value, text_of
from bestiary.data.detections.types import ANIMAL, Collector, Detections
from bestiary.errors import DataError

NAME = "MegaDetector"
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".m4v", ".wmv", ".mpg", ".mpeg"))


def read_megadetector(file: Path, min_confidence: float) -> Detections:
    """Read a file of MegaDetector's batch format.

    Args:
        file: The JSON file.
        min_confidence: Boxes with less are no samples.

    Raises:
        DataError: It is no such file, or of another version.
    """
    categories = _read_categories(file)
    wanted = {key for key, name in categories.items() if name == ANIMAL} or set(categories)
    found = Collector(NAME, min_confidence)
    n_videos = 0
    others = Counter[str]()
    for item in json_items(file, "images.item"):
        path = text_of(item.get("file")) if isinstance(item, dict) else None
        if path is None:
            raise DataError(f"{file}: an image has no file; write it again with the detector")
        if PurePosixPath(path.replace("\\", "/")).suffix.lower() in VIDEO_SUFFIXES:
            n_videos += 1
            continue
        others.update(_add_image(found, path, item, wanted))
    notes = []
    if n_videos:
        notes.append(f"Videos: {n_videos:,} are left out; bestiary reads images")
    if others:
        names = sorted({categories.get(key, "unknown categories") for key in others})
        notes.append(f"Boxes: {others.total():,} of {', '.join(names)} are no samples")
    return found.detections(notes)


def _read_categories(file: Path) -> dict[str, str]:
    """Read number -> name of the categories, and refuse other versions."""
    version = json_value(file, "info.format_version")
    if version is not None and str(version).split(".")[0] != "1":
        raise DataError(
            f"{file}: is of format_version {str(version)[:20]}; bestiary reads 1.0 to 1.6"
        )
    categories = json_value(file, "detection_categories")
    if not isinstance(categories, dict) or not categories:
        raise DataError(f"{file}: has no detection_categories; write it again with the detector")
    return {str(key): str(name).strip().casefold() for key, name in categories.items()}


def _add_image(
    found: Collector, path: str, item: dict[str, Any], wanted: set[str]
) -> Iterator[str]:
    """Add an image with its boxes; yield the category of each box that is not wanted."""
    failure = text_of(item.get("failure"))
    if failure:
        found.unusable.append((path, f"the detector could not read it ({failure[:80]})"))
        return
    found.add_image(path, time=text_of(item.get("datetime")))
    detections = item.get("detections")
    for detection in detections if isinstance(detections, list) else []:
        if not isinstance(detection, dict):
            found.unusable.append((path, "a detection is no object"))
        elif str(detection.get("category")) in wanted:
            confidence = detection.get("conf")
            if isinstance(confidence, int | float):
                found.add_box(path, detection.get("bbox"), float(confidence))
            else:
                found.unusable.append((path, "a box has no confidence"))
        else:
            yield str(detection.get("category"))
