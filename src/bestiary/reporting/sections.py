"""Results -> the sentences and tables that every form of the report shares: task, method,
results, findings.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bestiary.evaluation.results import Results, set_scores
from bestiary.recipe.options import Recipe
from bestiary.run.layout import (
    FIXES,
    FOLDS,
    MANIFEST,
    NEAR_DUPLICATES,
    QUARANTINE,
    RECIPE,
    TARGETS,
    WARNINGS,
)
from bestiary.run.tables import read_table
from bestiary.run.targets import read_note_of

Rows = list[tuple[str, ...]]

SCORE_NAMES = {
    "top1": "Accuracy (top 1)",
    "top5": "Top 5",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text."""

    head: tuple[str, ...]
    rows: Rows


def percent(value: float) -> str:
    """0.9416 as 94.2 %."""
    return f"{100 * value:.1f} %"


def between(score: dict[str, Any]) -> str:
    """An interval of shares as 93.0 to 95.2 %."""
    return f"{100 * score['low']:.1f} to {100 * score['high']:.1f} %"


def task(results: Results) -> str:
    """What was learnt from what."""
    table, run = results.table, results.run
    copies = table["duplicate_group"].drop_nulls().n_unique()
    counts = np.bincount(results.labels)
    text = (
        f"Images are sorted into {len(results.classes)} classes. "
        f"{run.read_table('manifest.parquet').height:,} "
        f"labeled images were used, {counts[counts > 0].min():,} to {counts.max():,} scored of "
        f"each class."
    )
    if copies:
        text += f" {copies:,} motifs are there more than once; their copies stay in one fold."
    return text


def method(recipe: Recipe, folds: int) -> str:
    """How it was learnt, in sentences."""
    model, train, mix = recipe.model, recipe.train, recipe.mix
    start = (
        "a linear discriminant of the frozen features" if model.head == "lda" else "begun at random"
    )
    begun = (
        f"{folds}-fold cross-validation, stratified by class, groups and copies never split; one "
        f"network for each fold"
        if folds > 1
        else "One network, trained on the answers of a fold ensemble's members and judged by "
        "images held out from it"
    )
    parts = [f"{begun}: {model.backbone} with weights {model.weights}, its last layer {start}."]
    if train.epochs:
        rate = f"{recipe.optimizer.lr:g} ({recipe.schedule.kind.replace('_', ' ')})"
        picked = "the epoch of the best held-out accuracy" if train.keep_best else "the last epoch"
        back = (
            f", drawn {100 * train.wise_ft:g} % of the way back to its start"
            if train.wise_ft
            else ""
        )
        parts.append(
            f"{train.epochs} epochs on views of {recipe.view.size} pixels, batches of "
            f"{train.batch_size}, AdamW with a "
            f"learning rate of {rate}; {picked} of each fold was kept{back}."
        )
    if train.epochs and mix.probability:
        parts.append(f"MixUp or CutMix on {100 * mix.probability:g} % of the batches.")
    views, side = recipe.predict.tta, recipe.view.eval_side
    seen = (
        f"one view of {side} pixels"
        if views == 1
        else f"the mean of {views} views of {side} pixels"
    )
    joined = f"; the ensemble averages the members' {recipe.predict.average}" if folds > 1 else ""
    parts.append(f"Images are judged by {seen}{joined}.")
    return " ".join(parts)


def accuracy_sentence(results: Results) -> str:
    """What the number means."""
    score, ensemble = results.scores["accuracy"], results.scores["ensemble"]
    text = (
        f"Out-of-fold accuracy is {percent(score['value'])} (95 % interval {between(score)}, "
        f"{score['n']:,} images "
        f"in {score['groups']:,} groups): that of single members, each on the images it has not "
        f"seen."
    )
    if len(results.run.fold_numbers()) > 1:
        text += (
            f" The ensemble of all {len(results.run.fold_numbers())} is estimated at "
            f"{percent(ensemble['value'])} "
            f"({between(ensemble)}) on new images of the same kind: {ensemble['method']}."
        )
    if results.optimism is None:
        return text + " Nothing was picked by these scores."
    return text + (
        f" Each fold's best epoch was picked by the same images, which flatters by at most about "
        f"{100 * results.optimism:.1f} points (the best epoch against the one that the other folds "
        f"would have picked)."
    )


def score_table(results: Results) -> Table:
    """Every score with its interval, after calibration where it changes it."""
    rows: Rows = []
    for name, words in SCORE_NAMES.items():
        raw, after = results.scores["scores"][name], results.scores["calibrated"].get(name)
        rows.append((words, _number(raw), _number(after) if after else "unchanged"))
    return Table(("score", "as trained [95 % interval]", "calibrated, cross-fitted"), rows)


def caution_table(results: Results) -> Table:
    """The sets, by coverage asked for: what the cross-fitted ones hold, and how large they are."""
    names = {"all": "all images", "class": "each class"}
    return Table(
        ("asked for", "over", "held", "classes in a set"),
        [
            (
                f"{100 * row['coverage']:g} %",
                names[row["kind"]],
                percent(row["held"]),
                f"{row['size']:.2f}",
            )
            for row in set_scores(results)
        ],
    )


def accepted_table(results: Results) -> Table:
    """For each risk: the confidence that is sure enough, and how many images have it."""
    rows: Rows = []
    confidence = results.confidence
    for risk, threshold in results.calibration.accepted.items():
        kept = confidence >= threshold
        wrong = percent(float((~results.hits[kept]).mean())) if kept.any() else ""
        named = f"{threshold:.3f}" if threshold <= 1 else "none is enough"
        rows.append((f"{100 * risk:g} %", named, percent(float(kept.mean())), wrong))
    return Table(
        ("errors at most", "sure from confidence", "images answered", "errors among them"), rows
    )


def class_rows(results: Results) -> list[dict[str, Any]]:
    """Per class: name, support, recall, precision (value, low, high or None), F1, and what it is
    most taken for.
    """
    counts, rows = results.confusion, []
    for number, (name, scores) in enumerate(zip(results.classes, results.per_class, strict=True)):
        others = counts[number].copy()
        others[number] = 0
        worst = int(others.argmax())
        taken = f"{results.classes[worst]} ({others[worst]})" if others[worst] else ""
        rows.append({"name": name, "taken": taken, **scores})
    return rows


def findings(results: Results) -> Rows:
    """What the audit of the data found: (finding, number, where it is listed)."""
    run, manifest = results.run, results.run.read_table(MANIFEST)
    rows: Rows = []
    for name, words in (
        (QUARANTINE, "images set aside"),
        (WARNINGS, "doubtful images, used as they are"),
    ):
        rows.append((words, f"{_height(run.file(name)):,}", name))
    copies = manifest.filter(pl.col("duplicate_group").is_not_null())
    rows.append(
        (
            f"images that are copies, of {copies['copies'].n_unique():,} motifs",
            f"{copies.height:,}",
            NEAR_DUPLICATES,
        )
    )
    conflicts = int(manifest["label_conflict"].sum())
    rows.append(
        (
            "images whose copies have another label, never scored",
            f"{conflicts:,}",
            NEAR_DUPLICATES,
        )
    )
    rows.append(("labels decided by hand", f"{_height(run.file('fixes.csv')):,}", FIXES))
    return rows


def repeat_command(results: Results) -> str:
    """The command that trains the same again."""
    run = results.run
    if run.file(TARGETS).exists():
        return read_note_of(run)["command"]
    folder = (
        Path(run.name) if run.address else run.path
    )  # of a run in a store, once it has been fetched
    words = [
        "bestiary", "train", str(folder / MANIFEST), "NEW_RUN", "--recipe", str(folder / RECIPE),
        "--folds", str(folder / FOLDS), "--set", f"data.root={run.read_root()}",
    ]  # fmt: skip
    return shlex.join(words)


def _number(score: dict[str, float]) -> str:
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


def _height(file: Any) -> int:
    return read_table(file, {"path": pl.String}).height if file.exists() else 0
