"""MegaDetector's batch format -> `Detections`: the boxes of animals above a confidence.

The format is that of https://lila.science/megadetector-output-format, versions 1.0 to 1.6, which
AddaxAI, SpeciesNet and other tools write too.
"""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from bestiary.data.detections.json_stream import json_members, text_of
from bestiary.data.detections.types import ANIMAL, Collector, Detections
from bestiary.errors import DataError

NAME = "MegaDetector"
HEAD = ("info", "detection_categories")
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".m4v", ".wmv", ".mpg", ".mpeg"))


def read_megadetector(file: Path, min_confidence: float) -> Detections:
    """Read a file of MegaDetector's batch format.

    Args:
        file: The JSON file; its parts may have any order.
        min_confidence: Boxes with less are no samples.

    Raises:
        DataError: It is no such file, or of another version.
    """
    found = Collector(NAME, min_confidence)
    head: dict[str, Any] = {}
    n_videos = 0
    counts = Counter[str]()
    for key, value in json_members(file, items=("images",), values=HEAD):
        if key in HEAD:
            head[key] = value
            continue
        path = text_of(value.get("file")) if isinstance(value, dict) else None
        if path is None:
            raise DataError(f"{file}: an image has no file; write it again with the detector")
        if PurePosixPath(path.replace("\\", "/")).suffix.lower() in VIDEO_SUFFIXES:
            n_videos += 1
        else:
            _add_image(found, path, value, counts)

    categories = _names_of_categories(file, head)
    wanted = {key for key, name in categories.items() if name == ANIMAL} or set(categories)
    others = {key: n for key, n in counts.items() if key not in wanted}
    notes = []
    if n_videos:
        notes.append(f"Videos: {n_videos:,} are left out; bestiary reads images")
    if others:
        names = sorted({categories.get(key, "unknown categories") for key in others})
        notes.append(f"Boxes: {sum(others.values()):,} of {', '.join(names)} are no samples")
    return found.detections(notes, categories=wanted)


def _names_of_categories(file: Path, head: dict[str, Any]) -> dict[str, str]:
    """Number -> name of the categories; other versions are refused."""
    info = head.get("info")
    version = info.get("format_version") if isinstance(info, dict) else None
    if version is not None and str(version).split(".")[0] != "1":
        raise DataError(
            f"{file}: is of format_version {str(version)[:20]}; bestiary reads 1.0 to 1.6"
        )
    categories = head.get("detection_categories")
    if not isinstance(categories, dict) or not categories:
        raise DataError(f"{file}: has no detection_categories; write it again with the detector")
    return {str(key): str(name).strip().casefold() for key, name in categories.items()}


def _add_image(found: Collector, path: str, item: dict[str, Any], counts: Counter[str]) -> None:
    """Add an image with its boxes, and count these by category."""
    failure = item.get("failure")
    detections = item.get("detections")
    if failure:
        reason = text_of(failure) or "it does not say why"
        found.refuse(path, f"the detector could not read it ({reason[:80]})")
        return
    if not isinstance(detections, list):
        found.refuse(path, "the detector has no answer to it")
        return
    found.add_image(path, time=text_of(item.get("datetime")))
    for detection in detections:
        if not isinstance(detection, dict):
            found.refuse(path, "a detection is no object")
            continue
        category = text_of(detection.get("category")) or ""
        counts[category] += 1
        confidence = detection.get("conf")
        if confidence is None:
            found.refuse(path, "a box has no confidence", category)
        elif isinstance(confidence, int | float):
            found.add_box(path, detection.get("bbox"), confidence, category)
        else:
            found.refuse(path, "the confidence of a box is no number", category)
