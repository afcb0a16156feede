"""Predictions -> MegaDetector's format with classifications, as Timelapse and AddaxAI read it.

Where a file of that format gave the boxes, all that it says is kept, boxes of people and vehicles
too, and classifications are added. See https://lila.science/megadetector-output-format.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.data.detections.json_stream import json_items, json_members, text_of
from bestiary.data.detections.megadetector import HEAD
from bestiary.data.detections.read import is_megadetector
from bestiary.data.table_paths import paths_below
from bestiary.ensemble.exchange.answers import (
    FAILED,
    UNCLASSIFIED,
    Classifier,
    ranked,
    with_kind,
)
from bestiary.run.taxonomy import RANKS
from bestiary.storage.boxes import Box, BoxFolder, checked_box
from bestiary.storage.files import Root

VERSION = "1.4"  # of the format, where no file of boxes says another
OLDEST_VERSION = 1.3  # that the format's validator takes
WHOLE = Box(0.0, 0.0, 1.0, 1.0)  # of an image that was predicted as a whole
DIGITS = 5  # of a confidence
CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}  # where no file of boxes has others
Answer = dict[str, Any]  # a row of predictions


def write_timelapse(
    file: Path, predictions: pl.DataFrame, root: Root, classifier: Classifier, boxes: Path | None
) -> None:
    """Write predictions in MegaDetector's format.

    Args:
        file: The JSON file.
        predictions: As `predict` writes them.
        root: Folder that their paths start from.
        classifier: What has classified.
        boxes: File that the boxes are from; None: they are from elsewhere, or there are none.

    Raises:
        BestiaryError: The file cannot be written.
    """
    source = boxes if boxes is not None and is_megadetector(boxes) else None
    numbers = {name: str(number) for number, name in enumerate(classifier.classes, 1)}
    numbers[UNCLASSIFIED] = str(len(numbers) + 1)
    table = with_kind(predictions)
    answers: dict[tuple[str, str], Answer] = {}
    for row in table.iter_rows(named=True):
        answers[row["file"], row.get("box") or ""] = row
    found: dict[str, Any] = {}
    if source is None:
        images = _new_images(table, numbers)
    else:
        found, paths = _read_source(source)
        images = _source_images(source, paths, root, answers, numbers)
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8") as stream:
        _write(stream, _head(found, classifier, numbers), images)


def _write(stream: IO[str], head: dict[str, Any], images: Iterator[dict[str, Any]]) -> None:
    """Write the images one by one, so that memory is that of one."""
    stream.write('{\n "images": [')
    separator = "\n  "
    for image in images:
        stream.write(separator + json.dumps(image, ensure_ascii=False))
        separator = ",\n  "
    stream.write("\n ]")
    for key, value in head.items():
        stream.write(f",\n {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    stream.write("\n}\n")


def _read_source(source: Path) -> tuple[dict[str, Any], pl.Series]:
    """Read what the file of boxes says of itself, and the paths of its images."""
    head: dict[str, Any] = {}
    paths = []
    for key, value in json_members(source, items=("images",), values=HEAD):
        if key in HEAD:
            head[key] = value
        else:
            paths.append(text_of(value.get("file")) or "")
    return head, pl.Series("path", paths, pl.String)


def _head(found: dict[str, Any], classifier: Classifier, numbers: dict[str, str]) -> dict[str, Any]:
    """All but the images; `found` is what a file of boxes says of itself."""
    info = found.get("info")
    info = dict(info) if isinstance(info, dict) else {}
    info["format_version"] = _version(info.get("format_version"))
    info["classifier"] = classifier.name
    info["classification_completion_time"] = classifier.finished.strftime("%Y-%m-%d %H:%M:%S")
    head = {
        "info": info,
        "detection_categories": found.get("detection_categories") or CATEGORIES,
        "classification_categories": {number: name for name, number in numbers.items()},
    }
    if classifier.taxonomy:
        head["classification_category_descriptions"] = {
            number: _description(name, classifier) for name, number in numbers.items()
        }
    return head


def _version(found: object) -> str:
    try:
        return str(found) if float(str(found)) >= OLDEST_VERSION else VERSION
    except ValueError:
        return VERSION


def _description(name: str, classifier: Classifier) -> str:
    """The taxa of a class from the kingdom down, and its scientific name."""
    assert classifier.taxonomy
    taxa = [classifier.taxonomy.column(rank).get(name, "") for rank in reversed(RANKS)]
    return ";".join([*taxa, classifier.scientific_name(name)]).lower()


def _new_images(table: pl.DataFrame, numbers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Images with the boxes that were predicted; a whole image is one box."""
    for rows in table.sort("file", "path").partition_by("file", maintain_order=True):
        file = rows["file"][0]
        failures = rows.filter(pl.col("kind") == FAILED)
        if failures.height:
            yield {"file": file, "failure": failures["error"][0], "detections": None}
            continue
        detections = []
        for row in rows.filter(pl.col("confidence").is_not_null()).iter_rows(named=True):
            box = [float(value) for value in row["box"].split(",")] if row.get("box") else [*WHOLE]
            found = row.get("detection")
            conf = 1.0 if found is None else float(found)
            classified = _classifications(row, numbers)
            detection = {"category": "1", "conf": conf, "bbox": box, "classifications": classified}
            detections.append(detection)
        yield {"file": file, "detections": detections}


def _source_images(
    source: Path,
    paths: pl.Series,
    root: Root,
    answers: dict[tuple[str, str], Answer],
    numbers: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """Images as the file of boxes has them, with classifications."""
    folder = root.folder if isinstance(root, BoxFolder) else root
    below = paths_below(str(source), paths, folder)
    for path, item in zip(below, json_items(source, "images"), strict=True):
        for detection in item.get("detections") or []:
            answer = answers.get((path, _box_name(detection.get("bbox"))))
            if answer is not None and answer["confidence"] is not None:
                detection["classifications"] = _classifications(answer, numbers)
            if isinstance(detection.get("conf"), int):
                detection["conf"] = float(detection["conf"])
        yield item


def _box_name(values: object) -> str:
    """The box as predictions name it; a text that none has where it is no box."""
    try:
        return str(checked_box([float(value) for value in values]))  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return "none"


def _classifications(row: Answer, numbers: dict[str, str]) -> list[list[Any]]:
    """Pairs of category and confidence, the best first.

    Where the answer is not accepted, the first is `UNCLASSIFIED`, with the confidence of the best
    class, which follows it.
    """
    best = [[numbers[name], round(confidence, DIGITS)] for name, confidence in ranked(row)]
    if row["kind"] == UNCLASSIFIED and best:
        best.insert(0, [numbers[UNCLASSIFIED], best[0][1]])
    return best
