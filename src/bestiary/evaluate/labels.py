"""A trained run -> its label issues as tables that a person can decide on; the run and the data stay as they are."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from scipy.special import softmax

from bestiary.data.fixes import SCHEMA
from bestiary.errors import RunError
from bestiary.evaluate.label_issues import LabelIssues, class_overlap, class_quality, find_label_issues
from bestiary.evaluate.oof import class_numbers, read_out_of_fold
from bestiary.run import Run, read_table, write_table
from bestiary.storage import Root

TYPICAL = 3  # pictures that stand for a class


@dataclass(frozen=True)
class LabelReport:
    """The labels of a run that are probably wrong.

    Attributes:
        run: its place.
        root: folder that its pictures' paths start from.
        folder: where the tables lie.
        fixes: path, given, suggested, score, action; what is decided already first, then suspects by score.
        typical: class name -> paths of pictures that fit it best.
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
        lines = [f"{self.undecided.height:,} labels are probably wrong: {self.folder / 'fixes.csv'}"]
        for label, count, suspects, share, _ in self.quality.filter(pl.col("suspects") > 0).head(3).iter_rows():
            lines.append(f"  {label!r}: {suspects:,} of {count:,} ({share:.0%})")
        if self.undecided.height:
            lines.append(
                f"Decide in {self.folder / 'labels.html'}, or fill in the column action (keep, relabel, drop);"
            )
            lines.append(f"then: bestiary train {self.root} NEW_RUN --fixes fixes.csv")
        return "\n".join(lines)

    def write(self) -> None:
        """Write fixes.csv, class_quality.csv and class_overlap.csv.

        Raises:
            RunError: the folder has a fixes.csv, which may hold a person's work.
            BestiaryError: the folder cannot be written.
        """
        if (self.folder / "fixes.csv").exists():
            raise RunError(f"{self.folder / 'fixes.csv'}: exists; move it away, or choose another folder with --out")
        write_table(self.folder / "class_quality.csv", self.quality)
        write_table(self.folder / "class_overlap.csv", self.overlap)
        write_table(self.folder / "fixes.csv", self.fixes)


def review_labels(run: Run, folder: Path) -> LabelReport:
    """Find the probably wrong labels of `run` by its out-of-fold predictions; `folder` is where `write` will put them.

    Raises:
        RunError: not all folds have ended.
        BestiaryError: cleanlab is not installed.
    """
    run.check_ended()
    table, classes = read_out_of_fold(run)
    labels = class_numbers(table, classes)
    issues = find_label_issues(softmax(table["logits"].to_numpy().astype("float64"), axis=1), labels)
    return LabelReport(
        run=run.place,
        root=run.root,
        folder=folder,
        fixes=_to_decide(run, table, issues, classes),
        typical=_typical(table, issues),
        quality=class_quality(issues, labels, classes),
        overlap=class_overlap(issues, labels, classes),
    )


def _to_decide(run: Run, table: pl.DataFrame, issues: LabelIssues, classes: list[str]) -> pl.DataFrame:
    """What was decided for this run, then the suspects; a decision stands, and its picture is not asked for again."""
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
    decided = read_table(run.file("fixes.csv"), SCHEMA).select(list(SCHEMA))
    return pl.concat([decided, suspects.join(decided, on="path", how="anti", maintain_order="left")])


def _typical(table: pl.DataFrame, issues: LabelIssues) -> dict[str, list[str]]:
    """The paths of the pictures that fit their class best."""
    scored = table.select("path", "label").with_columns(pl.Series("quality", issues.quality))
    best = scored.sort("quality", "path", descending=[True, False]).group_by("label", maintain_order=True).head(TYPICAL)
    return {str(label): paths for label, paths in best.group_by("label", maintain_order=True).agg("path").iter_rows()}
