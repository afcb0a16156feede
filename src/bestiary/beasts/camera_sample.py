"""Options -> a drawn camera-trap dataset: images by site, a table, boxes as JSON and a taxonomy.

The boxes are in the batch format of MegaDetector, so what reads that detector's output reads them.
Each image depends only on the seed, the size and its event. Knows nothing of how frames look.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bestiary.atomic import write_bytes, write_text
from bestiary.beasts.camera_drawing import Box, draw_frame
from bestiary.beasts.camera_plan import NO_ANIMAL, Frame, Site, invent_sites, plan_frames
from bestiary.beasts.pool import CHUNK, drawing_map
from bestiary.beasts.sample import check_empty, check_ranges
from bestiary.beasts.species import PLANS, Species, invent_species
from bestiary.beasts.unfinished import removed_if_unfinished
from bestiary.display import Tick
from bestiary.errors import ArgumentError
from bestiary.numbers import counted
from bestiary.printable import printable_name

IMAGES = "images"  # folder of the images, one folder a site
TABLE = "images.csv"
DETECTIONS = "detections.json"
TAXONOMY = "taxonomy.csv"
EMPTY = "empty"  # label of an image without an animal
DEFAULT_SIZE = 320  # pixels; animals are small
MAX_CAMERAS = 99

_TABLE_COLUMNS = ("path", "label", "site", "time", "lat", "lon")
_FAMILIES = (
    "Cursoridae", "Pennidae", "Elytridae", "Pinnidae", "Serpidae", "Chelidae", "Lepididae",
    "Conchidae", "Lacertidae", "Umbrellidae", "Brachidae", "Erucidae", "Scutidae",
)  # fmt: skip
_ORDERS = {
    "Vertebralia": ("quadruped", "bird", "fish", "serpent", "lizard", "turtle"),
    "Articulalia": ("beetle", "crab", "moth", "caterpillar"),
    "Mollialia": ("snail", "jelly", "octopus"),
}
_MOST_FALSE_CONFIDENCE = 0.15  # of a box around nothing


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """The numbers of a drawn camera-trap dataset.

    Attributes:
        directory: the folder of everything.
        images: number of images.
        empty: number of images without an animal.
        events: number of events.
        boxes: number of boxes around animals.
        sites: names of the sites.
        classes: names of the classes, sorted, with `EMPTY`.
        table: the table of the images.
        detections: the boxes as JSON.
    """

    directory: Path
    images: int
    empty: int
    events: int
    boxes: int
    sites: tuple[str, ...]
    classes: tuple[str, ...]
    table: Path
    detections: Path

    def __str__(self) -> str:
        return (
            f"{counted(self.images, 'image')} of {len(self.sites)} cameras in "
            f"{printable_name(self.directory)}: {len(self.classes) - 1} species in "
            f"{counted(self.events, 'event')}, "
            f"{counted(self.empty, 'image is', 'images are')} empty\n"
            f"{TABLE}: label, site, time and place; {DETECTIONS}: "
            f"{counted(self.boxes, 'box', 'boxes')} of animals; "
            f"{TAXONOMY}: genus, family and order"
        )


def draw_cameras(
    directory: Path,
    cameras: int,
    *,
    species: int = 20,
    per_species: int = 40,
    size: int = DEFAULT_SIZE,
    seed: int = 0,
    progress: Tick | None = None,
) -> CameraSummary:
    """Draw what camera traps see in a year.

    The same arguments give the same bytes for any number of processes.

    Args:
        directory: a new or empty folder.
        cameras: number of sites, each with a camera, 2 to 99.
        species: number of species, 2 to 100.
        per_species: images of each; a quarter as many in all are empty.
        size: pixels of the long side, 32 to 1024.
        seed: 0 or more.
        progress: called with the number of images drawn and the number of all images.

    Returns:
        The numbers of what was drawn.

    Raises:
        ArgumentError: a value is out of range, or the folder is not empty.
    """
    if not 2 <= cameras <= MAX_CAMERAS:
        raise ArgumentError(
            f"--cameras {cameras}: choose 2 to {MAX_CAMERAS} cameras, or leave it out"
        )
    check_ranges(species, per_species, size, seed, {})
    check_empty(directory)

    # Plan every frame, then draw.
    kinds = invent_species(species, seed)
    sites = invent_sites(cameras, seed)
    frames = plan_frames(sites, species, per_species, seed)
    tables = [directory / name for name in (TABLE, TAXONOMY, DETECTIONS)]
    images = [directory / IMAGES / frame.path for frame in frames]
    with removed_if_unfinished(directory, [*tables, *images]):
        boxes = _draw_all(frames, sites, directory / IMAGES, species, size, seed, progress)
        names = [_label_of(frame, kinds) for frame in frames]
        rows = map(_table_row, frames, names, _of(sites, frames))
        _write_table(directory / TABLE, _TABLE_COLUMNS, rows)
        taxa = map(_taxon, kinds)
        _write_table(directory / TAXONOMY, ("label", "genus", "family", "order"), taxa)
        detections = json.dumps(_detections(frames, boxes, seed), indent=1)
        write_text(directory / DETECTIONS, detections + "\n")
    return CameraSummary(
        directory=directory,
        images=len(frames),
        empty=names.count(EMPTY),
        events=len({frame.event for frame in frames}),
        boxes=sum(map(len, boxes)),
        sites=tuple(site.name for site in sites),
        classes=tuple(sorted(set(names))),
        table=directory / TABLE,
        detections=directory / DETECTIONS,
    )


def _of(sites: Sequence[Site], frames: Sequence[Frame]) -> list[Site]:
    """The site of each frame."""
    return [sites[frame.site] for frame in frames]


def _label_of(frame: Frame, kinds: Sequence[Species]) -> str:
    return EMPTY if frame.species == NO_ANIMAL else kinds[frame.species].name


def _draw_all(
    frames: list[Frame],
    sites: list[Site],
    folder: Path,
    species: int,
    size: int,
    seed: int,
    progress: Tick | None,
) -> list[list[Box]]:
    """Write every image; the boxes of each, in the same order."""
    chunks = [frames[first : first + CHUNK] for first in range(0, len(frames), CHUNK)]
    work = partial(_draw_chunk, sites=sites, folder=folder, species=species, size=size, seed=seed)
    boxes: list[list[Box]] = []
    with drawing_map(len(frames)) as run:
        for chunk_boxes in run(work, chunks):
            boxes.extend(chunk_boxes)
            if progress is not None:
                progress(len(boxes), len(frames))
    return boxes


def _draw_chunk(
    frames: list[Frame], *, sites: list[Site], folder: Path, species: int, size: int, seed: int
) -> list[list[Box]]:
    """Write some of the images; the boxes of each."""
    kinds = invent_species(species, seed)
    boxes = []
    for frame in frames:
        kind = None if frame.species == NO_ANIMAL else kinds[frame.species]
        drawn = draw_frame(frame, sites[frame.site], kind, size, seed)
        write_bytes(folder / frame.path, drawn.jpeg)
        boxes.append(drawn.boxes)
    return boxes


def _table_row(frame: Frame, label: str, site: Site) -> tuple[object, ...]:
    path = f"{IMAGES}/{frame.path}"
    return path, label, site.name, frame.time.isoformat(), site.latitude, site.longitude


def _taxon(species: Species) -> tuple[str, ...]:
    """Name, genus, family and order; a family is a body plan."""
    family = _FAMILIES[PLANS.index(species.plan)]
    order = next(name for name, plans in _ORDERS.items() if species.plan in plans)
    return species.name, species.name.split()[0], family, order


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    write_text(path, text.getvalue())


def _detections(frames: list[Frame], boxes: list[list[Box]], seed: int) -> dict[str, Any]:
    """The boxes as MegaDetector's batch output; some boxes of low confidence are around nothing."""
    rng = np.random.default_rng([seed, 17])
    images = []
    for frame, own in zip(frames, boxes, strict=True):
        found = [_detection(box, float(rng.uniform(0.6, 0.99))) for box in own]
        if rng.random() < 0.1:
            x, y = rng.uniform(0, 0.8, 2).round(4).tolist()
            confidence = float(rng.uniform(0.02, _MOST_FALSE_CONFIDENCE))
            found.append(_detection((x, y, 0.1, 0.1), confidence))
        images.append({"file": f"{IMAGES}/{frame.path}", "detections": found})
    return {
        "info": {
            "detector": "drawn_boxes_v1",
            "detection_completion_time": "2026-01-01 00:00:00",
            "format_version": "1.4",
            "detector_metadata": {"megadetector_version": "drawn by bestiary sample"},
        },
        "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
        "images": images,
    }


def _detection(box: Box, confidence: float) -> dict[str, Any]:
    return {"category": "1", "conf": round(confidence, 3), "bbox": list(box)}
