"""`Detections`: the images of a detector's or labeling tool's file, with their boxes and labels.

Knows nothing of formats, and nothing of the files of the images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from bestiary.storage.boxes import Box, checked_box

PART_ROWS = 65_536  # that are collected before they become a part of a table
ANIMAL = "animal"
DETECTOR_CATEGORIES = frozenset((ANIMAL, "person", "human", "vehicle", "empty"))
"""What detectors tell apart. Another name of a category is a class."""
EMPTY_WORDS = frozenset(("empty", "blank", "nothing"))

IMAGE_SCHEMA = {
    "path": pl.String,
    "label": pl.String,  # of the whole image; null: none
    "time": pl.String,  # as the file has it
    "site": pl.String,
    "sequence": pl.String,
}
BOX_SCHEMA = {
    "path": pl.String,
    "box": pl.String,
    "detection": pl.Float64,  # confidence, 0 to 1; null: a person has drawn the box
    "label": pl.String,
}


@dataclass(frozen=True, slots=True)
class Detections:
    """What a file says of images.

    Attributes:
        name: Name of the format, for people.
        images: Columns of `IMAGE_SCHEMA`, each image once, in the file's order.
        boxes: Columns of `BOX_SCHEMA`: the boxes that are samples.
        unusable: Path and reason of images, or of boxes in them, that cannot be used.
        notes: What was left out or assumed, in words.
    """

    name: str
    images: pl.DataFrame
    boxes: pl.DataFrame
    unusable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def has_labels(self) -> bool:
        """Whether the file gives classes."""
        labels = self.images["label"].null_count() + self.boxes["label"].null_count()
        return labels < self.images.height + self.boxes.height


class Rows:
    """Rows that become a table part by part, so that Python objects of few are in memory.

    Args:
        schema: Column -> type.
    """

    def __init__(self, schema: Mapping[str, type[pl.DataType]]) -> None:
        self.schema = schema
        self._rows: list[tuple[object, ...]] = []
        self._parts: list[pl.DataFrame] = [pl.DataFrame(schema=schema)]

    def add(self, *row: object) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == PART_ROWS:
            self._end_part()

    def table(self) -> pl.DataFrame:
        """All rows."""
        self._end_part()
        return pl.concat(self._parts)

    def _end_part(self) -> None:
        self._parts.append(pl.DataFrame(self._rows, schema=self.schema, orient="row"))
        self._rows = []


@dataclass(slots=True)
class Collector:
    """Collects what a reader finds, and refuses single boxes with a reason.

    Attributes:
        name: Name of the format.
        min_confidence: Boxes with less are left out.
        images: Rows of `IMAGE_SCHEMA`.
        boxes: Rows of `BOX_SCHEMA`.
        unusable: Path and reason.
    """

    name: str
    min_confidence: float
    images: Rows = field(default_factory=lambda: Rows(IMAGE_SCHEMA))
    boxes: Rows = field(default_factory=lambda: Rows(BOX_SCHEMA))
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def add_image(
        self,
        path: str,
        label: str | None = None,
        time: str | None = None,
        site: str | None = None,
        sequence: str | None = None,
    ) -> None:
        """Add an image; texts as the file has them."""
        self.images.add(path, label, time, site, sequence)

    def add_box(
        self,
        path: str,
        values: object,
        confidence: float | None = None,
        label: str | None = None,
        size: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """Add a box, or the reason why it is none.

        Args:
            path: Of its image.
            values: Left, top, width and height; anything else is refused.
            confidence: Of the detector, 0 to 1; None: a person has drawn it.
            label: Its class.
            size: Width and height of the image in the units of `values`.
        """
        try:
            if confidence is not None and not 0 <= confidence <= 1:
                raise ValueError(f"the confidence of a box is {confidence:g}")
            if confidence is None or confidence >= self.min_confidence:
                self.boxes.add(path, str(_box_of(values, size)), confidence, label)
        except ValueError as error:
            self.unusable.append((path, str(error)))

    def detections(self, notes: Sequence[str] = ()) -> Detections:
        """All that was collected."""
        images = self.images.table().unique("path", keep="first", maintain_order=True)
        boxes = self.boxes.table().unique(["path", "box"], keep="first", maintain_order=True)
        return Detections(self.name, images, boxes, self.unusable, list(notes))


def _box_of(values: object, size: tuple[float, float]) -> Box:
    if not isinstance(values, list | tuple):
        raise ValueError("a box is no list of 4 numbers")
    width, height = size
    if not (width > 0 and height > 0):
        raise ValueError("a box is in pixels, and the size of its image is not known")
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError("a box is no list of 4 numbers") from None
    units = (width, height, width, height)
    return checked_box([one / unit for one, unit in zip(numbers, units, strict=False)])
