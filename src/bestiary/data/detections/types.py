"""`Detections`: the images of a detector's or labeling tool's file, with their boxes and labels.

Knows nothing of formats, and nothing of the files of the images.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from bestiary.data.box_columns import check_boxes

PART_ROWS = 16_384  # that are collected before they become a part of a table
ANIMAL = "animal"
DETECTOR_CATEGORIES = frozenset((ANIMAL, "person", "human", "vehicle", "empty"))
"""What detectors tell apart. Another name of a category is a class."""
EMPTY_WORDS = frozenset(("empty", "blank", "nothing"))

IMAGE_SCHEMA = {
    "path": pl.String,
    "label": pl.String,  # of the whole image; null: none
    "time": pl.String,  # as the file has it
    "site": pl.String,
    "event": pl.String,  # a sequence of frames
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
        self.height = 0
        self._rows: list[tuple[Any, ...]] = []
        self._parts: list[pl.DataFrame] = [pl.DataFrame(schema=schema)]

    def add(self, *row: object) -> None:
        """Add a row."""
        self._rows.append(row)
        self.height += 1
        if len(self._rows) == PART_ROWS:
            self._end_part()

    def table(self) -> pl.DataFrame:
        """All rows."""
        if self._rows:
            self._end_part()
        return pl.concat(self._parts)

    def _end_part(self) -> None:
        self._parts.append(self._to_table(self._rows))
        self._rows = []

    def _to_table(self, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=self.schema, orient="row")


class BoxRows(Rows):
    """Rows of boxes, which are checked part by part: path, four numbers, confidence and label.

    Attributes:
        bad: Place, path, reason and label of each row that is no box.
    """

    def __init__(self) -> None:
        """Begin without a box."""
        super().__init__(BOX_SCHEMA)
        self.bad: list[tuple[int, str, str, str | None]] = []

    def _to_table(self, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
        paths, values, confidences, labels = zip(*rows, strict=True)
        boxes, reasons = check_boxes(values)
        first = self.height - len(rows)
        for place, reason in reasons.items():
            self.bad.append((first + place, paths[place], reason, labels[place]))
        columns = (paths, boxes, confidences, labels)
        return pl.DataFrame(
            dict(zip(BOX_SCHEMA, columns, strict=True)), schema=BOX_SCHEMA
        ).drop_nulls("box")


class Collector:
    """Collects what a reader finds, and refuses single boxes with a reason.

    Args:
        name: Name of the format.
        min_confidence: Boxes with less are left out.
    """

    def __init__(self, name: str, min_confidence: float) -> None:
        self.name = name
        self.min_confidence = min_confidence
        self._images = Rows(IMAGE_SCHEMA)
        self._boxes = BoxRows()

    def add_image(
        self,
        path: str,
        label: str | None = None,
        time: str | None = None,
        site: str | None = None,
        event: str | None = None,
    ) -> None:
        """Add an image; texts as the file has them."""
        self._images.add(path, label, time, site, event)

    def refuse(self, path: str, reason: str, label: str | None = None) -> None:
        """Add an image that cannot be used, or that has a box that cannot."""
        self._boxes.bad.append((self._boxes.height, path, reason, label))

    def add_box(
        self,
        path: str,
        values: object,
        confidence: float | None = None,
        label: str | None = None,
        size: tuple[float, float] | None = None,
    ) -> None:
        """Add a box, or the reason why it is none.

        Args:
            path: Of its image.
            values: Left, top, width and height; anything else is refused.
            confidence: Of the detector, 0 to 1; None: a person has drawn it.
            label: Its class.
            size: Width and height of the image in the units of `values`; None: they are shares.
        """
        if confidence is not None:
            if not 0 <= confidence <= 1:
                shown = str(confidence)[:20] if isinstance(confidence, int) else f"{confidence:g}"
                self.refuse(path, f"the confidence of a box is {shown}", label)
                return
            if confidence < self.min_confidence:
                return
            confidence = float(confidence)
        if size is not None:
            if not min(size) > 0:
                self.refuse(
                    path, "a box is in pixels, and the size of its image is not known", label
                )
                return
            values = _shares(values, size)
        self._boxes.add(path, values, confidence, label)

    def detections(
        self, notes: Sequence[str] = (), categories: Collection[str] | None = None
    ) -> Detections:
        """All that was collected.

        Args:
            notes: What was left out or assumed.
            categories: Labels are the detector's categories: boxes of others are left out, and
                none has a label.
        """
        images = self._images.table().unique("path", keep="first", maintain_order=True)
        boxes = self._boxes.table()
        bad = sorted(self._boxes.bad, key=lambda one: one[0])
        if categories is not None:
            wanted = pl.col("label").is_in(list(categories))
            boxes = boxes.filter(wanted).with_columns(label=pl.lit(None, pl.String))
            bad = [one for one in bad if one[3] is None or one[3] in categories]
        boxes = boxes.unique(["path", "box"], keep="first", maintain_order=True)
        unusable = [(path, reason) for _, path, reason, _ in bad]
        return Detections(self.name, images, boxes, unusable, list(notes))


def _shares(values: object, size: tuple[float, float]) -> object:
    """Four numbers in the units of `size` as shares; anything else as it is."""
    if not isinstance(values, list | tuple) or len(values) != 4:
        return values
    try:
        return [float(one) / unit for one, unit in zip(values, (*size, *size), strict=True)]
    except (TypeError, ValueError, OverflowError):
        return None
