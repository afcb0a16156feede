"""A run directory, finished or not -> a summary of what it is and how far training has come.

Knows nothing of how scores are computed.
"""

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bestiary.numbers import count, counted, percent
from bestiary.printable import place_name, printable_name, shell_name
from bestiary.recipe.options import Recipe
from bestiary.run.field_scores import field_lines, read_field_scores
from bestiary.run.heads import heads_of_run
from bestiary.run.history import read_history
from bestiary.run.layout import QUARANTINE, FoldFiles
from bestiary.run.next_steps import next_steps
from bestiary.run.run import Run
from bestiary.run.tables import count_rows
from bestiary.streams import screen_width

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 50  # columns
MIN_CURVE = 3  # epochs that make a curve
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
            ended, and the training losses.
        heads: which heads the folds chose, in a sentence; empty if they had no choice.
        field: how it does in the field, in sentences; empty if the images have no sites.
        scores: its out-of-fold scores, as in metrics.json; None until all folds have ended.
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
    scores: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        scores = self.scores or {}
        return {
            "run": self.place,
            "images_from": self.root,
            "finished": self.scores is not None,
            "accuracy": scores.get("accuracy"),
            "ensemble": scores.get("ensemble"),
            "images": self.images,
            "classes": self.classes,
            "quarantined": self.quarantined,
            "folds": [
                {
                    "fold": fold["fold"],
                    "ended": fold["ended"],
                    "epochs": fold["epochs"],
                    "best_accuracy": fold["accuracy"],
                    "best_epoch": fold["epoch"],
                    "losses": fold["losses"],
                }
                for fold in self.folds
            ],
            "heads": self.heads,
            "field": self.field,
            "recipe": self.recipe,
        }

    def __str__(self) -> str:
        recipe = self.recipe
        counts = (
            f"{counted(self.images, 'image')} of {counted(self.classes, 'class', 'classes')}, "
            f"{counted(len(self.folds), 'fold')}"
        )
        if self.quarantined:
            counts += f", {counted(self.quarantined, 'file')} in quarantine.csv"
        place = printable_name(self.place)
        root = place_name(self.root)[:MAX_ROOT]
        backbone = printable_name(recipe.model.backbone)
        lines = [
            f"{place}: {counts}",
            f"images from {root}" + ("" if self.is_named else ", as the run says"),
            f"{backbone}, {recipe.view.size} px, {_trained(recipe)}",
            *textwrap.wrap(self.heads, screen_width()),
            "",
            *_fold_lines(self.folds, recipe.train.epochs),
            "",
        ]
        if self.score_line:
            lines += [self.score_line, *self.field, "What next:", *next_steps(self.place)]
        else:
            ended = sum(fold["ended"] for fold in self.folds)
            lines.append(
                f"{ended} of {counted(len(self.folds), 'fold')} ended; the out-of-fold score needs "
                "all of them."
            )
            data = shell_name(place_name(self.root)) if self.is_named else "DATA"
            lines.append(f"To go on: bestiary train {data} {shell_name(self.place)} --resume")
        return "\n".join(lines)


def _trained(recipe: Recipe) -> str:
    """Say what of a network is trained, and how long."""
    if not recipe.train.epochs:
        return "frozen, new heads"
    return f"{count(recipe.train.epochs, 'epoch')}, batch {recipe.train.batch_size}"


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
    epochs = snapshot.recipe.train.epochs
    return Summary(
        place=run.place,
        root=named or run.read_recorded_root(),
        is_named=bool(named),
        recipe=snapshot.recipe,
        score_line=run.score_line,
        images=snapshot.manifest.height,
        classes=snapshot.manifest["label"].n_unique(),
        quarantined=count_rows(run.file(QUARANTINE)),
        folds=[{"fold": fold, **_progress(run.fold(fold), epochs)} for fold in snapshot.folds],
        heads=heads_of_run(snapshot),
        field=field_lines(read_field_scores(run)),
        scores=run.read_scores(),
    )


def _progress(files: FoldFiles, epochs: int) -> dict[str, Any]:
    """Read the epochs of a fold, and the best of them."""
    progress: dict[str, Any] = {
        "epochs": 0,
        "accuracy": None,
        "epoch": None,
        "ended": files.ended,
        "losses": [],
    }
    history = read_history(files, epochs)
    is_lost = progress["ended"] and epochs and not history.height  # somebody removed the file
    progress["epochs"] = None if is_lost else history.height
    losses = history["train_loss"].drop_nulls().to_list()
    progress["losses"] = [loss for loss in losses if math.isfinite(loss)]
    scored = history.drop_nulls("val_accuracy")
    ranked = scored.sort("val_accuracy", "epoch", descending=[True, False])
    if ranked.height:
        best = ranked.row(0, named=True)
        progress["accuracy"] = best["val_accuracy"]
        progress["epoch"] = best["epoch"]
    return progress


def _fold_lines(folds: Sequence[dict[str, Any]], epochs: int) -> list[str]:
    """Describe each fold; neighbors without a score, of which the same is said, share a line."""
    lines = []
    for (state, _), alike in itertools.groupby(folds, key=lambda fold: _group(fold, epochs)):
        numbers = [fold["fold"] for fold in alike]
        last = f" to {numbers[-1]}" if len(numbers) > 1 else ""
        lines.append(f"{'folds' if last else 'fold'} {numbers[0]}{last}: {state}")
    return lines


def _group(fold: dict[str, Any], epochs: int) -> tuple[str, int | None]:
    """Return what folds on one line have in common; a fold with a score has its own line."""
    return _fold_state(fold, epochs), None if fold["accuracy"] is None else fold["fold"]


def _fold_state(fold: dict[str, Any], epochs: int) -> str:
    if fold["ended"]:
        state = "ended"
    elif fold["epochs"]:
        state = "in progress"
    else:
        state = "not begun"
    line = f"{state}, {_epochs_text(fold, epochs)}"
    if fold["accuracy"] is not None:
        line += f", accuracy {percent(fold['accuracy'])} at epoch {fold['epoch']}"
    if len(fold["losses"]) >= MIN_CURVE:
        first, last = fold["losses"][0], fold["losses"][-1]
        line += f"\n  training loss {first:.3f} {sparkline(fold['losses'])} {last:.3f}"
    return line


def _epochs_text(fold: dict[str, Any], epochs: int) -> str:
    if not epochs:
        return "the head only"
    if fold["epochs"] is None:
        return "its history is missing"
    return f"{fold['epochs']} of {count(epochs, 'epoch')}"


def sparkline(values: Sequence[float]) -> str:
    """Draw values as a row of bars, the lowest and the highest as the shortest and the tallest.

    Args:
        values: finite; more than `CURVE_WIDTH` are thinned out.

    Example:
        >>> sparkline([3.0, 2.0, 1.0, 1.0])
        '█▅▁▁'
    """
    step = max(1, math.ceil(len(values) / CURVE_WIDTH))
    kept = list(values[::step])
    low, span = min(kept), max(kept) - min(kept)
    last = len(BARS) - 1
    return "".join(BARS[round(last * (value - low) / span) if span else 0] for value in kept)
