"""Out-of-fold probabilities and labels -> the labels that are probably wrong, and which classes are
mistaken for which.

How many are wrong is estimated by confident learning (Northcutt, Jiang and Chuang 2021,
doi:10.1613/jair.1.12125), and so many labels of the lowest probability are suspects; both as the
cleanlab library has it. Takes arrays, never a network or a run.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

from bestiary.data.fixes import SCHEMA
from bestiary.errors import RunError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.layout import CLASS_OVERLAP, CLASS_QUALITY, FIXES
from bestiary.run.run import Run
from bestiary.run.tables import read_table, write_table
from bestiary.stats.label_issues import LabelIssues, find_label_issues
from bestiary.storage.files import Root


def class_quality(
    issues: LabelIssues, labels: NDArray[np.int64], classes: list[str]
) -> pl.DataFrame:
    """One row a class, the worst first: label, images, suspects, their share (0 to 1), mean
    quality (0 to 1).
    """
    suspect = np.zeros(len(labels), np.bool_)
    suspect[issues.suspects] = True
    table = pl.DataFrame({"number": labels, "suspect": suspect, "quality": issues.quality})
    found = table.group_by("number").agg(
        pl.len().alias("images"),
        pl.col("suspect").sum().alias("suspects"),
        pl.col("quality").mean(),
    )
    names = pl.DataFrame({"number": np.arange(len(classes)), "label": classes})
    joined = found.join(names, on="number").with_columns(
        (pl.col("suspects") / pl.col("images")).alias("share")
    )
    return joined.sort("share", "number", descending=[True, False]).select(
        "label", "images", "suspects", "share", "quality"
    )


def class_overlap(
    issues: LabelIssues, labels: NDArray[np.int64], classes: list[str]
) -> pl.DataFrame:
    """How many suspects of each class look like which other, most first: given, suggested,
    suspects.
    """
    rows = issues.suspects
    pairs = pl.DataFrame(
        {
            "given": [classes[n] for n in labels[rows]],
            "suggested": [classes[n] for n in issues.suggested[rows]],
        },
        schema={"given": pl.String, "suggested": pl.String},
    )
    return (
        pairs.group_by("given", "suggested")
        .agg(pl.len().alias("suspects"))
        .sort("suspects", "given", "suggested", descending=[True, False, False])
    )


TYPICAL = 3  # images that stand for a class


@dataclass(frozen=True)
class LabelReport:
    """The labels of a run that are probably wrong.

    Attributes:
        run: its place.
        root: folder that its images' paths start from.
        folder: where the tables lie.
        fixes: path, given, suggested, score, action; what is decided already first, then suspects
            by score.
        typical: class name -> paths of images that fit it best.
        quality: see `class_quality`.
        overlap: see `class_overlap`.
    """

    run: str
    root: Root
    folder: Path
    fixes: pl.DataFrame
    typical: dict[str, list[str]]
    quality: pl.DataFrame
    overlap: pl.DataFrame

    @property
    def undecided(self) -> pl.DataFrame:
        """The suspects that nobody has decided on."""
        return self.fixes.filter(pl.col("action").is_null())

    def __str__(self) -> str:
        lines = [
            f"{self.undecided.height:,} labels are probably wrong: {self.folder / 'fixes.csv'}"
        ]
        for label, count, suspects, share, _ in (
            self.quality.filter(pl.col("suspects") > 0).head(3).iter_rows()
        ):
            lines.append(f"  {label!r}: {suspects:,} of {count:,} ({share:.0%})")
        if self.undecided.height:
            lines.append(
                f"Decide in {self.folder / 'labels.html'}, or fill in the column action (keep, "
                f"relabel, drop);"
            )
            lines.append(f"then: bestiary train {self.root} NEW_RUN --fixes fixes.csv")
        return "\n".join(lines)

    def write(self) -> None:
        """Write fixes.csv, class_quality.csv and class_overlap.csv.

        Raises:
            RunError: the folder has a fixes.csv, which may hold a person's work.
            BestiaryError: the folder cannot be written.
        """
        if (self.folder / FIXES).exists():
            raise RunError(
                f"{self.folder / 'fixes.csv'}: exists; move it away, or choose another folder with "
                f"--out"
            )
        write_table(self.folder / CLASS_QUALITY, self.quality)
        write_table(self.folder / CLASS_OVERLAP, self.overlap)
        write_table(self.folder / FIXES, self.fixes)


def review_labels(run: Run, folder: Path) -> LabelReport:
    """Find the probably wrong labels of `run` by its out-of-fold predictions; `folder` is where
    `write` will put them.

    Raises:
        RunError: not all folds have ended.
        BestiaryError: cleanlab is not installed.
    """
    run.check_ended()
    found = read_out_of_fold(run)
    table, classes, labels = found.table, found.classes, found.labels
    issues = find_label_issues(
        softmax(table["logits"].to_numpy().astype("float64"), axis=1), labels
    )
    return LabelReport(
        run=run.place,
        root=run.read_root(),
        folder=folder,
        fixes=_to_decide(run, table, issues, classes),
        typical=_typical(table, issues),
        quality=class_quality(issues, labels, classes),
        overlap=class_overlap(issues, labels, classes),
    )


def _to_decide(
    run: Run, table: pl.DataFrame, issues: LabelIssues, classes: list[str]
) -> pl.DataFrame:
    """What was decided for this run, then the suspects; a decision stands, and its image is not
    asked for again.
    """
    rows = issues.suspects
    suspects = pl.DataFrame(
        {
            "path": table["path"].gather(rows),
            "given": table["label"].gather(rows),
            "suggested": [classes[number] for number in issues.suggested[rows]],
            "score": issues.quality[rows],
            "action": pl.Series([None] * len(rows), dtype=pl.String),
        },
        schema=SCHEMA,
    )
    decided = read_table(run.file(FIXES), SCHEMA).select(list(SCHEMA))
    return pl.concat(
        [decided, suspects.join(decided, on="path", how="anti", maintain_order="left")]
    )


def _typical(table: pl.DataFrame, issues: LabelIssues) -> dict[str, list[str]]:
    """The paths of the images that fit their class best."""
    scored = table.select("path", "label").with_columns(pl.Series("quality", issues.quality))
    best = (
        scored.sort("quality", "path", descending=[True, False])
        .group_by("label", maintain_order=True)
        .head(TYPICAL)
    )
    return {
        str(label): paths
        for label, paths in best.group_by("label", maintain_order=True).agg("path").iter_rows()
    }
