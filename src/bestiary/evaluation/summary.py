"""A run directory, finished or not -> a summary of what it is and how far training has come.

Knows nothing of how scores are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from bestiary.numbers import percent
from bestiary.printable import printable_name
from bestiary.recipe.options import Recipe
from bestiary.run.field_scores import field_lines, read_field_scores
from bestiary.run.heads import heads_text
from bestiary.run.layout import QUARANTINE, FoldFiles
from bestiary.run.run import Run
from bestiary.run.tables import count_rows, read_table

MAX_ROOT = 300  # characters of the folder of the images that are printed


@dataclass(frozen=True, slots=True)
class Summary:
    """What `show` prints.

    Attributes:
        place: path or address of the run.
        root: folder of its images as the user has named it, else as the run records it, which is
            never opened.
        is_named: whether the user has named it.
        recipe: its recipe.
        score_line: its out-of-fold accuracy in words; None until all folds have ended.
        images: number of images in its manifest.
        classes: number of classes.
        quarantined: number of files in its quarantine.
        folds: for each fold: epochs done, best validation accuracy and its epoch, whether it has
            ended.
        heads: which heads the folds chose, in a sentence; empty if they had no choice.
        field: how it does in the field, in sentences; empty if the images have no sites.
    """

    place: str
    root: str
    is_named: bool
    recipe: Recipe
    score_line: str | None
    images: int
    classes: int
    quarantined: int
    folds: list[dict[str, Any]]
    heads: str = ""
    field: Sequence[str] = ()

    def __str__(self) -> str:
        recipe = self.recipe
        counts = f"{self.images:,} images of {self.classes} classes, {len(self.folds)} folds"
        if self.quarantined:
            counts += f", {self.quarantined:,} files in quarantine.csv"
        place = printable_name(self.place)
        root = printable_name(self.root)[:MAX_ROOT]
        backbone = printable_name(recipe.model.backbone)
        lines = [
            f"{place}: {counts}",
            f"images from {root}" + ("" if self.is_named else ", as the run says"),
            f"{backbone}, {recipe.view.size} px, {recipe.train.epochs} epochs, "
            f"batch {recipe.train.batch_size}",
            *([self.heads] if self.heads else []),
            "",
            *[_fold_line(fold, recipe.train.epochs) for fold in self.folds],
            "",
        ]
        if self.score_line:
            lines += [self.score_line, *self.field]
        else:
            ended = sum(fold["ended"] for fold in self.folds)
            lines.append(
                f"{ended} of {len(self.folds)} folds have ended; the out-of-fold score needs all "
                f"of them."
            )
            data = root if self.is_named else "DATA"
            lines.append(f"To go on: bestiary train {data} {place} --resume")
        return "\n".join(lines)


def summarize(run: Run) -> Summary:
    """Read what `show` prints.

    Args:
        run: the run, finished or not.

    Returns:
        The summary.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    snapshot = run.load()
    named = run.named_root()
    return Summary(
        place=run.place,
        root=named or run.read_recorded_root(),
        is_named=bool(named),
        recipe=snapshot.recipe,
        score_line=run.score_line,
        images=snapshot.manifest.height,
        classes=snapshot.manifest["label"].n_unique(),
        quarantined=count_rows(run.file(QUARANTINE)),
        folds=[{"fold": fold, **_progress(run.fold(fold))} for fold in snapshot.folds],
        heads=heads_text([run.fold(fold) for fold in snapshot.folds]),
        field=field_lines(read_field_scores(run)),
    )


def _progress(files: FoldFiles) -> dict[str, Any]:
    """Read the epochs of a fold, and the best of them."""
    progress: dict[str, Any] = {
        "epochs": 0,
        "accuracy": None,
        "epoch": None,
        "ended": files.ended,
    }
    if not files.history.exists():
        return progress

    history = read_table(files.history, {"epoch": pl.Int64, "val_accuracy": pl.Float64})
    progress["epochs"] = history.height
    scored = history.drop_nulls("val_accuracy")
    ranked = scored.sort("val_accuracy", "epoch", descending=[True, False])
    if ranked.height:
        best = ranked.row(0, named=True)
        progress["accuracy"] = best["val_accuracy"]
        progress["epoch"] = best["epoch"]
    return progress


def _fold_line(fold: dict[str, Any], epochs: int) -> str:
    if fold["ended"]:
        state = "ended"
    elif fold["epochs"]:
        state = "in progress"
    else:
        state = "not begun"
    line = f"fold {fold['fold']}: {state}, {fold['epochs']} of {epochs} epochs"
    if fold["accuracy"] is not None:
        line += f", accuracy {percent(fold['accuracy'])} at epoch {fold['epoch']}"
    return line
