"""A run's out-of-fold probabilities -> its probably wrong labels and overlapping classes.

The tables fixes.csv, class_quality.csv and class_overlap.csv are for a person to decide on. The
suspects are those of `bestiary.stats.label_issues`. Changes no label.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.fixes import SCHEMA
from bestiary.details import stage
from bestiary.errors import RunError
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.numbers import counted, percent
from bestiary.printable import place_name, printable_name
from bestiary.run.checksums import is_listed
from bestiary.run.images import RunImages
from bestiary.run.layout import CLASS_OVERLAP, CLASS_QUALITY, FIXES, LABELS_PAGE, MANIFEST
from bestiary.run.run import Run, RunSnapshot
from bestiary.run.tables import read_table, write_table
from bestiary.stats.averaging import softmax
from bestiary.stats.label_issues import LabelIssues, find_label_issues

TYPICAL_PER_CLASS = 3  # images that stand for a class
PRINTED_CLASSES = 3  # classes with suspects that a printed report names


@dataclass(frozen=True)
class LabelReport:
    """The labels of a run that are probably wrong.

    Attributes:
        run: path or address of the run.
        images: its images.
        folder: where the tables are written.
        fixes: path, given, suggested, score, action; earlier decisions first, then the suspects,
            most suspect first.
        shares: path of a suspect -> its given and its suggested class, each with the network's
            probability.
        typical: class name -> paths of the images that fit it best.
        quality: see `class_quality`.
        overlap: see `class_overlap`.
        listed: words of a command that name the images with the labels that the run began with.
    """

    run: str
    images: RunImages
    folder: Path
    fixes: pl.DataFrame
    shares: dict[str, list[tuple[str, float]]]
    typical: dict[str, list[str]]
    quality: pl.DataFrame
    overlap: pl.DataFrame
    listed: Sequence[str]

    @property
    def undecided(self) -> pl.DataFrame:
        """The suspects without a decision."""
        return self.fixes.filter(pl.col("action").is_null())

    @property
    def headline(self) -> str:
        """How many labels are probably wrong and not decided, in words."""
        undecided = self.undecided.height
        if undecided:
            return f"{counted(undecided, 'label is', 'labels are')} probably wrong"
        return f"No {'other ' if self.fixes.height else ''}label is probably wrong"

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "run": self.run,
            "folder": self.folder,
            "undecided": self.undecided.height,
            "fixes": self.fixes,
            "class_quality": self.quality,
            "class_overlap": self.overlap,
            "page": self.folder / LABELS_PAGE,
            "command": self.command(self.folder / FIXES),
        }

    def __str__(self) -> str:
        undecided = self.undecided.height
        lines = [f"{self.headline}: {printable_name(self.folder / FIXES)}"]

        has_suspects = pl.col("suspects") > 0
        worst = self.quality.filter(has_suspects).head(PRINTED_CLASSES)
        for row in worst.iter_rows(named=True):
            counts = f"{row['suspects']:,} of {row['images']:,} ({percent(row['share'], 0)})"
            lines.append(f"  {row['label']!r}: {counts}")

        if undecided:
            page = printable_name(self.folder / LABELS_PAGE)
            lines.append(f"Decide in {page}, or fill in the column action (keep, relabel, drop);")
            lines.append(f"then: {self.command(self.folder / FIXES)}")
        return "\n".join(lines)

    def command(self, fixes: Path) -> str:
        """Name the command that trains on the decided labels, ready to be pasted.

        Args:
            fixes: the table with the decisions.
        """
        # Quoted for a shell, but for the user's own folder, which the shell fills in.
        table = str(fixes) if fixes.parts[0] == "~" else shlex.quote(str(fixes))
        data, *options = self.listed
        words = ["bestiary", "train", data, f"{self.run}-fixed", *options]
        return printable_name(f"{shlex.join(words)} --fixes {table}")

    def write(self) -> None:
        """Write fixes.csv, class_quality.csv and class_overlap.csv.

        Raises:
            RunError: the folder has a fixes.csv, which may contain a person's work.
            BestiaryError: the folder cannot be written.
        """
        fixes_file = self.folder / FIXES
        if fixes_file.exists():
            raise RunError(
                f"{fixes_file}: exists; move it away, or choose another folder with --out"
            )
        write_table(self.folder / CLASS_QUALITY, self.quality)
        write_table(self.folder / CLASS_OVERLAP, self.overlap)
        write_table(fixes_file, self.fixes)


@stage("Comparing labels with predictions")
def review_labels(run: Run, folder: Path) -> LabelReport:
    """Find the probably wrong labels of a run by its out-of-fold predictions.

    Args:
        run: a run whose folds have ended.
        folder: where `LabelReport.write` will write the tables.

    Returns:
        The report.

    Raises:
        RunError: not all folds have ended.
        BestiaryError: cleanlab is not installed.
    """
    snapshot = run.load()
    out_of_fold = read_out_of_fold(snapshot)
    probabilities = softmax(out_of_fold.logits)
    issues = find_label_issues(probabilities, out_of_fold.labels)
    return LabelReport(
        run=run.place,
        images=snapshot.images,
        folder=folder,
        fixes=_fixes_table(run, out_of_fold, issues),
        shares=_shares(out_of_fold, probabilities, issues),
        typical=_typical_images(out_of_fold.table, issues),
        quality=class_quality(issues, out_of_fold.labels, out_of_fold.classes),
        overlap=class_overlap(issues, out_of_fold.labels, out_of_fold.classes),
        listed=listed_words(snapshot),
    )


def listed_words(snapshot: RunSnapshot) -> list[str]:
    """Words of a command that name the images of a run with the labels that it began with.

    They are the folder of the images where its folders are classes, or else the run's own table.
    Where a run has fixes, its own table has the labels after these, so the user's is asked for.

    Args:
        snapshot: of the run.

    Returns:
        The images, then the options that say how they are listed.
    """
    manifest, layout = snapshot.manifest, snapshot.recipe.data.layout
    images = place_name(snapshot.root)
    decided = _decided(snapshot.run)["path"]
    as_listed = manifest.filter(~pl.col("path").is_in(decided.implode())).select("path", "label")
    has_boxes = "box" in manifest.columns and manifest["box"].null_count() < manifest.height
    if not has_boxes and all(label in path.split("/")[:-1] for path, label in as_listed.rows()):
        return [images] if layout == "auto" else [images, "--set", f"data.layout={layout}"]
    table = "TABLE" if len(decided) else place_name(f"{snapshot.run.place}/{MANIFEST}")
    return [table, "--set", f"data.root={images}"]


def class_quality(
    issues: LabelIssues,
    labels: NDArray[np.int64],
    classes: list[str],
) -> pl.DataFrame:
    """Summarize the label quality of each class.

    Args:
        issues: suspects and quality of the labels.
        labels: class numbers (images,).
        classes: class names.

    Returns:
        label, images, suspects, share (of suspects, 0 to 1), quality (mean, 0 to 1); one row for
        each class, the highest share first.
    """
    names = pl.DataFrame(
        {
            "number": np.arange(len(classes)),
            "label": classes,
        }
    )
    share = pl.col("suspects") / pl.col("images")
    return (
        _quality_by_number(issues, labels)
        .join(names, on="number")
        .with_columns(share.alias("share"))
        .sort("share", "number", descending=[True, False])
        .select("label", "images", "suspects", "share", "quality")
    )


def _quality_by_number(issues: LabelIssues, labels: NDArray[np.int64]) -> pl.DataFrame:
    """Count images and suspects and average the quality, by class number."""
    is_suspect = np.zeros(len(labels), np.bool_)
    is_suspect[issues.suspects] = True
    images = pl.DataFrame(
        {
            "number": labels,
            "suspect": is_suspect,
            "quality": issues.quality,
        }
    )
    return images.group_by("number").agg(
        pl.len().alias("images"),
        pl.col("suspect").sum().alias("suspects"),
        pl.col("quality").mean(),
    )


def class_overlap(
    issues: LabelIssues,
    labels: NDArray[np.int64],
    classes: list[str],
) -> pl.DataFrame:
    """Count which classes are mistaken for which.

    Args:
        issues: suspects and suggested classes.
        labels: class numbers (images,).
        classes: class names.

    Returns:
        given, suggested, suspects; one row for each pair of classes, most suspects first.
    """
    rows = issues.suspects
    pairs = pl.DataFrame(
        {
            "given": [classes[number] for number in labels[rows]],
            "suggested": [classes[number] for number in issues.suggested[rows]],
        },
        schema={"given": pl.String, "suggested": pl.String},
    )
    counts = pairs.group_by("given", "suggested").agg(pl.len().alias("suspects"))
    return counts.sort(
        "suspects",
        "given",
        "suggested",
        descending=[True, False, False],
    )


def _fixes_table(run: Run, out_of_fold: OutOfFold, issues: LabelIssues) -> pl.DataFrame:
    """List earlier decisions of this run, then the suspects that have no decision."""
    rows = issues.suspects
    suspects = pl.DataFrame(
        {
            "path": out_of_fold.table["path"].gather(rows),
            "given": out_of_fold.table["label"].gather(rows),
            "suggested": [out_of_fold.classes[number] for number in issues.suggested[rows]],
            "score": issues.quality[rows],
            "action": pl.Series([None] * len(rows), dtype=pl.String),
        },
        schema=SCHEMA,
    )
    decided = _decided(run)
    undecided = suspects.join(
        decided,
        on="path",
        how="anti",
        maintain_order="left",
    )
    return pl.concat([decided, undecided])


def _decided(run: Run) -> pl.DataFrame:
    """Read the labels that a person has decided before the run; a student has no such table."""
    file = run.file(FIXES)
    if not file.exists() and not is_listed(run.path, FIXES):
        return pl.DataFrame(schema=SCHEMA)
    return read_table(file, SCHEMA).select(list(SCHEMA))


def _shares(
    out_of_fold: OutOfFold, probabilities: NDArray[np.float64], issues: LabelIssues
) -> dict[str, list[tuple[str, float]]]:
    """Look up what the network gives to the two classes of each suspect."""
    rows = issues.suspects
    shares = {}
    for path, row, given, suggested in zip(
        out_of_fold.table["path"].gather(rows),
        rows,
        out_of_fold.labels[rows],
        issues.suggested[rows],
        strict=True,
    ):
        numbers = (int(given), int(suggested))
        pairs = [
            (out_of_fold.classes[number], float(probabilities[row, number])) for number in numbers
        ]
        shares[path] = pairs
    return shares


def _typical_images(table: pl.DataFrame, issues: LabelIssues) -> dict[str, list[str]]:
    """List the paths of the images that fit their class best."""
    quality = pl.Series("quality", issues.quality)
    best = (
        table.select("path", "label")
        .with_columns(quality)
        .sort("quality", "path", descending=[True, False])
        .group_by("label", maintain_order=True)
        .head(TYPICAL_PER_CLASS)
    )
    by_class = best.group_by("label", maintain_order=True).agg("path")
    return {str(label): paths for label, paths in by_class.iter_rows()}
