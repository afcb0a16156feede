"""`Detections`: the images of a detector's or labeling tool's file, with their boxes and labels.

Knows nothing of formats, and nothing of the files of the images.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.box_columns import check_boxes
from bestiary.data.detections.json_stream import text_of

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
LABELED = {"path": pl.String, "label": pl.String}
NO_NUMBERS = (float("nan"),) * 4
LISTS = (list, tuple)


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


class ImageRows:
    """Rows of `IMAGE_SCHEMA` that become a table part by part: Python objects of few are kept."""

    def __init__(self) -> None:
        """Begin without a row."""
        self._rows: list[tuple[str | None, ...]] = []
        self._parts: list[pl.DataFrame] = [pl.DataFrame(schema=IMAGE_SCHEMA)]

    def add(self, *row: str | None) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == PART_ROWS:
            self._end_part()

    def table(self) -> pl.DataFrame:
        """All rows."""
        self._end_part()
        return pl.concat(self._parts)

    def _end_part(self) -> None:
        self._parts.append(pl.DataFrame(self._rows, schema=IMAGE_SCHEMA, orient="row"))
        self._rows = []


class BoxRows:
    """Boxes as a file has them, which are checked and become a table part by part.

    They are kept as columns, and their numbers as one long list: lists and tuples by the thousand
    would keep Python's garbage collector busy.

    Args:
        min_confidence: Boxes with less are left out.
        needs_confidence: Whether a box without a confidence is none; else a person has drawn it.
    """

    def __init__(self, min_confidence: float, needs_confidence: bool) -> None:
        self.min_confidence = min_confidence
        self.needs_confidence = needs_confidence
        self.bad: list[tuple[int, str, str, str | None]] = []
        """Place, path, reason and label of each row that is no box."""
        self.counts = Counter[str | None]()
        """Label -> number of rows."""
        self._parts: list[pl.DataFrame] = [pl.DataFrame(schema=BOX_SCHEMA)]
        self._n_ended = 0
        self._begin_part()

    def add(self, path: str, values: object, confidence: object, label: object) -> None:
        """Add a row."""
        if isinstance(values, LISTS) and len(values) == 4:
            self._numbers += values
        else:
            self._odd[len(self._paths)] = values
            self._numbers += NO_NUMBERS
        self._paths.append(path)
        self._confidences.append(confidence)
        self._labels.append(label)
        if len(self._paths) == PART_ROWS:
            self._end_part()

    def refuse(self, path: str, reason: str) -> None:
        """Add an image that cannot be used, or that has a box that cannot."""
        self.bad.append((self._n_ended + len(self._paths), path, reason, None))

    def table(self) -> pl.DataFrame:
        """All boxes that are good, with the columns of `BOX_SCHEMA`."""
        self._end_part()
        return pl.concat(self._parts)

    def _begin_part(self) -> None:
        self._paths: list[str] = []
        self._numbers: list[Any] = []  # four a row
        self._odd: dict[int, object] = {}  # row -> what it has instead
        self._confidences: list[object] = []
        self._labels: list[object] = []

    def _end_part(self) -> None:
        labels = _texts(self._labels)
        self.counts.update(labels)
        table = pl.DataFrame({"path": self._paths, "label": labels}, schema=LABELED)
        confidences, reasons = _confidences(self._confidences, self.needs_confidence)
        with np.errstate(invalid="ignore"):
            is_kept = ~(confidences < self.min_confidence)  # those without a confidence too
        is_kept[list(reasons)] = False
        kept = np.flatnonzero(is_kept)
        boxes, others = check_boxes(self._values(kept))
        reasons |= {int(kept[place]): reason for place, reason in others.items()}
        for row, reason in sorted(reasons.items()):
            self.bad.append((self._n_ended + row, self._paths[row], reason, labels[row]))
        found = pl.Series("detection", confidences[kept]).fill_nan(None)
        part = table.filter(pl.Series(is_kept)).with_columns(boxes, found)
        self._parts.append(part.select(list(BOX_SCHEMA)).drop_nulls("box"))
        self._n_ended += len(self._paths)
        self._begin_part()

    def _values(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | list[object]:
        """The numbers of some rows (rows, 4); of each by itself where some are no numbers."""
        if not self._odd:
            with suppress(TypeError, ValueError, OverflowError):
                numbers = np.array(self._numbers, np.float64).reshape(-1, 4)
                return np.asarray(numbers[rows])
        return [self._odd.get(row, self._numbers[4 * row : 4 * row + 4]) for row in rows.tolist()]


class Collector:
    """Collects what a reader finds, and refuses single boxes with a reason.

    Args:
        name: Name of the format.
        min_confidence: Boxes with less are left out.
        needs_confidence: Whether a detector has found the boxes, so that each has a confidence.
    """

    def __init__(self, name: str, min_confidence: float, needs_confidence: bool = False) -> None:
        self.name = name
        self._images = ImageRows()
        self._boxes = BoxRows(min_confidence, needs_confidence)
        self.refuse = self._boxes.refuse
        self.add_shares = self._boxes.add

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

    def add_box(
        self,
        path: str,
        values: object,
        confidence: object = None,
        label: object = None,
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
        if size is not None:
            if not min(size) > 0:
                self.refuse(path, "a box is in pixels, and the size of its image is not known")
                return
            values = _shares(values, size)
        self._boxes.add(path, values, confidence, label)

    def detections(
        self, notes: Sequence[str] = (), labels: Collection[str] | None = None
    ) -> Detections:
        """All that was collected.

        Args:
            notes: What was left out or assumed.
            labels: Labels are the detector's categories: only boxes of these are taken, and none
                has a label.
        """
        images = _without_repeats(self._images.table(), ["path"])
        boxes = self._boxes.table()
        bad = sorted(self._boxes.bad, key=lambda one: one[0])
        if labels is not None:
            is_wanted = boxes["label"].is_in(list(labels))
            boxes = boxes if is_wanted.all() else boxes.filter(is_wanted)
            boxes = boxes.with_columns(label=pl.lit(None, pl.String))
            bad = [one for one in bad if one[3] is None or one[3] in labels]
        boxes = _without_repeats(boxes, ["path", "box"])
        unusable = [(path, reason) for _, path, reason, _ in bad]
        return Detections(self.name, images, boxes, unusable, list(notes))

    def counts(self) -> dict[str, int]:
        """Number of boxes of each label, of any confidence; empty: it has none."""
        self._boxes.table()
        return {label or "": n for label, n in self._boxes.counts.items()}


def _without_repeats(table: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Keep the first row of those with the same keys.

    Where hashes say that all differ, nothing is copied: `unique` takes several times the memory of
    a large table.
    """
    hashes = table.select(pl.struct(keys).hash()).to_series()
    if hashes.n_unique() == table.height:
        return table
    return table.unique(keys, keep="first", maintain_order=True)


def _texts(words: Sequence[object]) -> list[str | None]:
    """Labels as text; None stays None, and what is no text is empty."""
    known: dict[str, str] = {}
    texts: list[str | None] = []
    for word in words:
        if word is None or not isinstance(word, str):
            texts.append(None if word is None else text_of(word) or "")
            continue
        if word not in known:
            known[word] = text_of(word) or ""
        texts.append(known[word])
    return texts


def _confidences(
    values: Sequence[object], are_needed: bool
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Confidences as numbers, not a number where there is none; and why some cannot be used."""
    kinds = set(map(type, values))
    reasons = {}
    if kinds <= {float, int} or (not are_needed and kinds <= {float, int, NoneType}):
        with suppress(OverflowError):
            numbers = np.array(values, np.float64)
            is_out = (numbers < 0) | (numbers > 1)
            for row in np.flatnonzero(is_out).tolist():
                reasons[row] = f"the confidence of a box is {numbers[row]:g}"
            return numbers, reasons
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None:
            if are_needed:
                reasons[row] = "a box has no confidence"
        elif not isinstance(value, int | float):
            reasons[row] = "the confidence of a box is no number"
        elif 0 <= value <= 1:
            numbers[row] = value
        else:
            reasons[row] = f"the confidence of a box is {str(value)[:20]}"
    return numbers, reasons


def _shares(values: object, size: tuple[float, float]) -> object:
    """Four numbers in the units of `size` as shares; anything else as it is."""
    if not isinstance(values, list | tuple) or len(values) != 4:
        return values
    try:
        return [float(one) / unit for one, unit in zip(values, (*size, *size), strict=True)]
    except (TypeError, ValueError, OverflowError):
        return None
