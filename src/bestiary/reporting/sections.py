"""Results -> the sentences and tables of a report: data, method, scores, prediction sets, audit.

The HTML page, the Markdown report and the PDF all show these sections. Knows no format.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bestiary.evaluation.results import Results, prediction_set_scores
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
from bestiary.run.tables import count_rows
from bestiary.run.targets import read_student_metadata

TableRows = list[tuple[str, ...]]

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
    """A table of text: column names and rows of cells."""

    head: tuple[str, ...]
    rows: TableRows


def percent(value: float) -> str:
    """Format a share: 0.9416 as 94.2 %."""
    return f"{100 * value:.1f} %"


def interval_percent(score: dict[str, Any]) -> str:
    """Format the interval of a score as percentages: 93.0 to 95.2 %."""
    return f"{100 * score['low']:.1f} to {100 * score['high']:.1f} %"


def data_text(results: Results) -> str:
    """Describe the data: classes, images and near duplicates.

    Args:
        results: the results of a run.

    Returns:
        Two or three sentences.
    """
    duplicate_groups = results.table["duplicate_group"].drop_nulls().n_unique()
    per_class = np.bincount(results.labels)
    used = results.snapshot.manifest.height
    text = (
        f"Images are sorted into {len(results.classes)} classes. "
        f"{used:,} labeled images were used; {per_class[per_class > 0].min():,} to "
        f"{per_class.max():,} images of each class are scored."
    )
    if duplicate_groups:
        text += (
            f" {duplicate_groups:,} groups of near duplicates were found; "
            f"each group stays in one fold."
        )
    return text


def method_text(recipe: Recipe, folds: int) -> str:
    """Describe the training and the evaluation.

    Args:
        recipe: the recipe of the run.
        folds: number of folds; 1 means a distilled student.

    Returns:
        Some sentences.
    """
    sentences = [_network_sentence(recipe, folds)]
    if recipe.train.epochs:
        sentences.append(_training_sentence(recipe))
        if recipe.mix.probability:
            sentences.append(_mixing_sentence(recipe))
    sentences.append(_prediction_sentence(recipe, folds))
    return " ".join(sentences)


def _network_sentence(recipe: Recipe, folds: int) -> str:
    if folds > 1:
        design = (
            f"{folds}-fold cross-validation, stratified by class; groups and near duplicates are "
            f"never split; one network for each fold"
        )
    else:
        design = (
            "One network, trained on the predictions of a fold ensemble's members and scored on "
            "images held out from it"
        )
    if recipe.model.head == "lda":
        head = "a linear discriminant of the frozen features"
    else:
        head = "initialized at random"
    backbone = f"{recipe.model.backbone} with weights {recipe.model.weights}"
    return f"{design}: {backbone}, its last layer {head}."


def _training_sentence(recipe: Recipe) -> str:
    train = recipe.train
    rate = f"{recipe.optimizer.lr:g} ({recipe.schedule.kind.replace('_', ' ')})"
    chosen = "the epoch with the best held-out accuracy" if train.keep_best else "the last epoch"
    wise_ft = ""
    if train.wise_ft:
        share = 100 * train.wise_ft
        wise_ft = f", interpolated {share:g} % of the way to its initial weights (WiSE-FT)"
    return (
        f"{train.epochs} epochs on views of {recipe.view.size} pixels, batches of "
        f"{train.batch_size}, AdamW with a peak learning rate of {rate}; each fold keeps "
        f"{chosen}{wise_ft}{_augment_words(recipe)}."
    )


def _augment_words(recipe: Recipe) -> str:
    decay = recipe.optimizer.layer_decay
    words = f"; each stage's rate is {decay:g} of the next one's" if decay < 1 else ""
    if recipe.view.augment != "none":
        words += f"; views are augmented by {recipe.view.augment}"
    return words


def _mixing_sentence(recipe: Recipe) -> str:
    share = 100 * recipe.mix.probability
    end = f", until {100 * recipe.mix.stop_at:g} % of the steps" if recipe.mix.stop_at < 1 else ""
    return f"MixUp or CutMix on {share:g} % of the batches{end}."


def _prediction_sentence(recipe: Recipe, folds: int) -> str:
    side = recipe.view.eval_side
    views = recipe.predict.tta
    if views == 1:
        source = f"one view of {side} pixels"
    else:
        source = f"the mean of {views} views of {side} pixels (test-time augmentation)"
    average = f"; the ensemble averages the members' {recipe.predict.average}" if folds > 1 else ""
    return f"Images are classified from {source}{average}."


def accuracy_text(results: Results) -> str:
    """Explain the accuracy: how it was measured, and what the ensemble may reach.

    Args:
        results: the results of a run.

    Returns:
        Two or three sentences.
    """
    score = results.scores["accuracy"]
    folds = len(results.snapshot.folds)
    text = (
        f"Out-of-fold accuracy is {percent(score['value'])} (95 % interval "
        f"{interval_percent(score)}, {score['n']:,} images in {score['groups']:,} groups). "
        f"It is the accuracy of single members, each on the images it was not trained on."
    )
    if folds > 1:
        ensemble = results.scores["ensemble"]
        text += (
            f" The ensemble of all {folds} is estimated at {percent(ensemble['value'])} "
            f"({interval_percent(ensemble)}) on new images of the same kind: {ensemble['method']}."
        )
    if results.optimism is None:
        return text + " Nothing was selected on these scores."
    points = 100 * results.optimism
    return text + (
        f" Each fold's best epoch was selected on the same images, which flatters the accuracy by "
        f"at most about {points:.1f} points (the best epoch against the one that the other folds "
        f"would select)."
    )


def score_table(results: Results) -> Table:
    """List every score with its interval, before and after calibration.

    Args:
        results: the results of a run.

    Returns:
        One row a score.
    """
    rows: TableRows = []
    for key, name in SCORE_NAMES.items():
        trained = results.scores["scores"][key]
        calibrated = results.scores["calibrated"].get(key)
        rows.append((name, _score(trained), _score(calibrated) if calibrated else "unchanged"))
    return Table(("score", "as trained [95 % interval]", "calibrated, cross-fitted"), rows)


def prediction_set_table(results: Results) -> Table:
    """List the prediction sets: requested and measured coverage, and mean size.

    Args:
        results: the results of a run.

    Returns:
        One row for each requested coverage and kind of guarantee; cross-fitted.
    """
    kinds = {"all": "all images", "class": "each class"}
    rows: TableRows = []
    for scores in prediction_set_scores(results):
        rows.append(
            (
                f"{100 * scores['coverage']:g} %",
                kinds[scores["kind"]],
                percent(scores["empirical_coverage"]),
                f"{scores['size']:.2f}",
            )
        )
    return Table(("requested coverage", "over", "measured coverage", "classes in a set"), rows)


def accepted_table(results: Results) -> Table:
    """List, for each risk, the confidence to accept and the share of images it accepts.

    Args:
        results: the results of a run.

    Returns:
        One row a risk.
    """
    rows: TableRows = []
    for risk, threshold in results.calibration.accepted.items():
        accepted = results.confidence >= threshold
        error = percent(float((~results.hits[accepted]).mean())) if accepted.any() else ""
        confidence = f"{threshold:.3f}" if threshold <= 1 else "none is enough"
        share = percent(float(accepted.mean()))
        rows.append((f"{100 * risk:g} %", confidence, share, error))
    return Table(
        ("errors at most", "accepted from confidence", "images accepted", "errors among them"),
        rows,
    )


def class_rows(results: Results) -> list[dict[str, Any]]:
    """Describe each class.

    Args:
        results: the results of a run.

    Returns:
        Per class: name, support, recall and precision (value, low, high; or None), f1, and
        confused_with, the class it is most often mistaken for.
    """
    rows = []
    counts = results.confusion
    for index, (name, scores) in enumerate(zip(results.classes, results.per_class, strict=True)):
        mistakes = counts[index].copy()
        mistakes[index] = 0
        worst = int(mistakes.argmax())
        confused_with = f"{results.classes[worst]} ({mistakes[worst]})" if mistakes[worst] else ""
        rows.append({"name": name, "confused_with": confused_with, **scores})
    return rows


def audit_rows(results: Results) -> TableRows:
    """Summarize the audit of the data.

    Args:
        results: the results of a run.

    Returns:
        Rows of finding, count, and the file that lists the images.
    """
    run = results.run
    manifest = results.snapshot.manifest
    duplicates = manifest.filter(pl.col("duplicate_group").is_not_null())
    groups = duplicates["duplicate_group"].n_unique()
    conflicts = int(manifest["label_conflict"].sum())
    counts = (
        ("files in quarantine", count_rows(run.file(QUARANTINE)), QUARANTINE),
        (
            "images with a quality warning, used as they are",
            count_rows(run.file(WARNINGS)),
            WARNINGS,
        ),
        (f"near duplicates, in {groups:,} groups", duplicates.height, NEAR_DUPLICATES),
        ("images with a label conflict, never scored", conflicts, NEAR_DUPLICATES),
        ("labels decided by hand", count_rows(run.file(FIXES)), FIXES),
    )
    return [(finding, f"{count:,}", file) for finding, count, file in counts]


def reproduce_command(results: Results) -> str:
    """Give the command that trains the same run again.

    Args:
        results: the results of a run.

    Returns:
        A shell command line.
    """
    run = results.run
    if run.file(TARGETS).exists():
        return read_student_metadata(run)["command"]
    # A run in a store is fetched first, into a folder of its name.
    folder = Path(run.name) if run.address else run.path
    words = [
        "bestiary",
        "train",
        str(folder / MANIFEST),
        "NEW_RUN",
        "--recipe",
        str(folder / RECIPE),
        "--folds",
        str(folder / FOLDS),
        "--set",
        f"data.root={run.named_root() or 'DATA'}",
    ]
    return shlex.join(words)


def _score(score: dict[str, float]) -> str:
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"
