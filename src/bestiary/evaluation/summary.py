"""A run directory, finished or not -> what it is and how far it has come, in a few lines."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from bestiary.recipe.options import Recipe
from bestiary.run.layout import MANIFEST, QUARANTINE, FoldFiles
from bestiary.run.run import Run
from bestiary.run.tables import read_table


@dataclass(frozen=True, slots=True)
class Summary:
    """What `show` prints.

    Attributes:
        place: of the run.
        root: folder that its images' paths start from.
        recipe: what was asked.
        score_line: its out-of-fold accuracy in words; None until all folds have ended.
        images: number of images in its manifest.
        classes: number of classes.
        quarantined: number of images set aside.
        folds: per fold: epochs done, best accuracy on its held-out part, ended or not.
    """

    place: str
    root: str
    recipe: Recipe
    score_line: str | None
    images: int
    classes: int
    quarantined: int
    folds: list[dict[str, Any]]

    def __str__(self) -> str:
        recipe = self.recipe
        lines = [
            f"{self.place}: {self.images:,} images of {self.classes} classes, {len(self.folds)} "
            f"folds"
            + (
                f", {self.quarantined:,} images set aside (quarantine.csv)"
                if self.quarantined
                else ""
            ),
            f"images from {self.root}",
            f"{recipe.model.backbone}, {recipe.view.size} px, {recipe.train.epochs} epochs, "
            f"batch {recipe.train.batch_size}",
            "",
        ]
        for fold in self.folds:
            score = (
                ""
                if fold["accuracy"] is None
                else f", accuracy {fold['accuracy']:.4f} at epoch {fold['epoch']}"
            )
            state = "ended" if fold["ended"] else "not begun" if not fold["epochs"] else "under way"
            lines.append(
                f"fold {fold['fold']}: {state}, {fold['epochs']} of {recipe.train.epochs} "
                f"epochs{score}"
            )
        ended = sum(fold["ended"] for fold in self.folds)
        lines.append("")
        if self.score_line:
            lines.append(self.score_line)
        else:
            lines.append(
                f"{ended} of {len(self.folds)} folds have ended; the out-of-fold score needs all "
                f"of them."
            )
            lines.append(f"To go on: bestiary train {self.root} {self.place} --resume")
        return "\n".join(lines)


def summarize(run: Run) -> Summary:
    """Read what `show` prints.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    manifest = run.read_table(MANIFEST)
    quarantine = run.file(QUARANTINE)
    return Summary(
        place=run.place,
        root=str(run.read_root()),
        recipe=run.read_recipe(),
        score_line=run.score_line,
        images=manifest.height,
        classes=manifest["label"].n_unique(),
        quarantined=read_table(quarantine, {"path": pl.String}).height
        if quarantine.exists()
        else 0,
        folds=[{"fold": fold, **_progress(run.fold(fold))} for fold in run.fold_numbers()],
    )


def _progress(files: FoldFiles) -> dict[str, Any]:
    if not files.history.exists():
        return {"epochs": 0, "accuracy": None, "epoch": None, "ended": files.ended}
    history = read_table(files.history, {"epoch": pl.Int64, "val_accuracy": pl.Float64})
    scored = history.drop_nulls("val_accuracy").sort(
        "val_accuracy", "epoch", descending=[True, False]
    )
    best = scored.row(0, named=True) if scored.height else {"val_accuracy": None, "epoch": None}
    return {
        "epochs": history.height,
        "accuracy": best["val_accuracy"],
        "epoch": best["epoch"],
        "ended": files.ended,
    }
