"""The table that `predict` writes: its columns, and what is said of it. Predicts nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bestiary.ensemble.answers import TOP_CLASSES
from bestiary.ensemble.resumable_table import MEMBERS_USED, STOPPED_EARLY, Counts
from bestiary.ensemble.shown_answers import shown_answers
from bestiary.numbers import count
from bestiary.printable import printable_name
from bestiary.storage.files import Root
from bestiary.tables import read_frame, unescape_formulas

MAX_LABELS = 4  # commonest labels that are named


def _table_schema() -> dict[str, Any]:
    """Columns of the full table; the first label and confidence have no number."""
    schema: dict[str, Any] = {
        "path": pl.String,
        "label": pl.String,
        "confidence": pl.Float64,
    }
    for rank in range(2, TOP_CLASSES + 1):
        schema[f"label_{rank}"] = pl.String
        schema[f"confidence_{rank}"] = pl.Float64
    return schema | {
        "member_agreement": pl.Float64,
        "prediction_set": pl.String,
        "accepted": pl.Boolean,
        "unknown": pl.Boolean,
        "error": pl.String,
    }


TABLE_SCHEMA = _table_schema()
CASCADE_SCHEMA = TABLE_SCHEMA | {MEMBERS_USED: pl.Int64, STOPPED_EARLY: pl.Boolean}


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """What `predict` has written.

    Attributes:
        files: the files, the table first.
        counts: images, and how many of them could not be read.
        root: folder that the paths start from.
        carried: columns after the usual ones, with their types: of a promise or costs, then those
            of the user's table, of a detector and of EXIF.
        review: the page to review the predictions on, if it was asked for.
        kept: the table, where it is in no file.
        others: what else was written, one line each.
    """

    files: list[Path]
    counts: Counts
    root: Root
    carried: dict[str, Any]
    review: Path | None = None
    kept: pl.DataFrame | None = None
    others: tuple[str, ...] = ()

    @property
    def table(self) -> pl.DataFrame:
        """The table, read back.

        Columns: path, label, confidence, the next four labels with theirs, member_agreement,
        prediction_set, accepted, unknown, error. With a cascade members_used and stopped_early
        follow, with a promise promised, with costs decision and expected_cost. Then come those
        that are handed through. A submission has image_name and pred_label.
        """
        if self.kept is not None:
            return self.kept
        file = self.files[0]
        is_csv = file.suffix.lower() == ".csv"
        is_submission = len(self.files) > 1
        if not is_csv or is_submission:
            return read_frame(file)
        schema = TABLE_SCHEMA if self.counts.stopped is None else CASCADE_SCHEMA
        return unescape_formulas(read_frame(file, schema=schema | self.carried))

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        counts = self.counts
        return {
            "files": self.files,
            "images": counts.rows,
            "unread": counts.unread,
            "empty": counts.empty,
            "accepted": counts.sure,
            "unknown": counts.unknown,
            "stopped": counts.stopped,
            "by_label": [{"label": label, "images": n} for label, n in counts.labels],
            "review": self.review,
            "others": self.others,
            "predictions": self.kept,
        }

    @property
    def exit_code(self) -> int:
        """1 when some images could not be read."""
        return int(self.counts.unread > 0)

    def __str__(self) -> str:
        counts = self.counts
        predicted = counts.rows - counts.unread - counts.empty
        line = f"{count(predicted, 'image')} predicted"
        if self.files:
            line += f": {', '.join(map(printable_name, self.files))}"
        lines = [line, *self._summary()]
        if self.kept is not None:
            lines += [*shown_answers(self.kept), "Not saved: --out FILE.csv keeps every column"]
        if counts.empty:
            are = "is" if counts.empty == 1 else "are"
            lines.append(f"{counts.empty:,} {are} empty: the detector found nothing there")
        if counts.stopped is not None:
            lines.append(f"{counts.stopped:,} of them stopped early (column stopped_early)")
        if self.exit_code:
            path, reason = counts.first
            lines.append(
                f"{counts.unread:,} could not be read and have no label; first "
                f"{printable_name(path)}: {printable_name(reason)}"
            )
        lines += self.others
        if self.review:
            lines.append(f"To check and correct them: {printable_name(self.review)}")
        return "\n".join(lines)

    def _summary(self) -> list[str]:
        """Say how many are sure, not sure and unknown, and which labels are the commonest."""
        counts = self.counts
        if counts.sure is None or counts.rows - counts.unread - counts.empty < 2:
            return []
        unsure = counts.rows - counts.unread - counts.empty - counts.sure - counts.unknown
        lines = [f"{counts.sure:,} sure, {unsure:,} not sure, {counts.unknown:,} unknown"]
        if counts.labels:
            named = [f"{printable_name(label)} {n:,}" for label, n in counts.labels[:MAX_LABELS]]
            more = len(counts.labels) - len(named)
            if more:
                named.append(f"and {count(more, 'other class', 'other classes')}")
            lines.append(f"Most often: {', '.join(named)}")
        return lines
