"""MegaDetector's batch format -> `Detections`: the boxes of animals above a confidence.

The format is that of https://lila.science/megadetector-output-format, versions 1.0 to 1.6, which
AddaxAI, SpeciesNet and other tools write too.
"""

from pathlib import Path
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
    found = Collector(NAME, min_confidence, needs_confidence=True)
    head: dict[str, Any] = {}
    n_videos = 0
    for key, value in json_members(file, items=("images",), values=HEAD):
        if key in HEAD:
            head[key] = value
            continue
        path = text_of(value.get("file")) if isinstance(value, dict) else None
        if path is None:
            raise DataError(f"{file}: an image has no file; write it again with the detector")
        if path[path.rfind(".") :].lower() in VIDEO_SUFFIXES:
            n_videos += 1
        else:
            _add_image(found, path, value)

    categories = _names_of_categories(file, head)
    wanted = {key for key, name in categories.items() if name == ANIMAL} or set(categories)
    others = {key: n for key, n in found.counts().items() if key not in wanted}
    notes = []
    if n_videos:
        notes.append(f"Videos: {n_videos:,} are left out; bestiary reads images")
    if others:
        names = sorted({categories.get(key, "unknown categories") for key in others})
        notes.append(f"Boxes: {sum(others.values()):,} of {', '.join(names)} are no samples")
    return found.detections(notes, labels=wanted)


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


def _add_image(found: Collector, path: str, item: dict[str, Any]) -> None:
    """Add an image with its boxes."""
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
    for one in detections:
        if isinstance(one, dict):
            found.add_shares(path, one.get("bbox"), one.get("conf"), one.get("category", ""))
        else:
            found.refuse(path, "a detection is no object")
