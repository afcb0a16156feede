"""Results -> the sentences and tables of a report: method, accuracy, scores, how to repeat it.

The HTML page, the Markdown report and the PDF all show these sections. Knows no format.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.evaluation.results import Results
from bestiary.numbers import counted, percent, percent_range
from bestiary.recipe.options import Recipe
from bestiary.run.heads import heads_of_run
from bestiary.run.layout import ENSEMBLE, FOLDS, MANIFEST, RECIPE, TARGETS
from bestiary.run.run import RunSnapshot
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
SHARES = ("top1", "top5", "balanced_accuracy", "macro_f1", "ece")  # shown in per cent


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text: column names and rows of cells."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def method_of_run(snapshot: RunSnapshot) -> str:
    """Describe the training and the evaluation of a run.

    Args:
        snapshot: its starting files.

    Returns:
        Some sentences.

    Raises:
        DamagedError: the file of a chosen head is damaged.
    """
    heads = heads_of_run(snapshot)
    return method_text(snapshot.recipe, len(snapshot.folds), heads)


def method_text(recipe: Recipe, folds: int, heads: str = "") -> str:
    """Describe the training and the evaluation.

    Args:
        recipe: the recipe of the run.
        folds: number of folds; 1 means a distilled student.
        heads: sentence of `bestiary.run.heads.heads_text`.

    Returns:
        Some sentences.
    """
    sentences = [_network_sentence(recipe, folds)]
    if heads:
        sentences.append(heads)
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
    head = {
        "lda": "a linear discriminant of the frozen features",
        "auto": "fitted to the frozen features",
        "random": "initialized at random",
    }[recipe.model.head]
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
        f"{counted(train.epochs, 'epoch')} on views of {recipe.view.size} pixels, batches of "
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
        f"{percent_range(score['low'], score['high'])}, {counted(score['n'], 'image')} in "
        f"{counted(score['groups'], 'group')}). It is the accuracy of single members, each on the "
        "images it was not trained on."
    )
    if folds > 1:
        ensemble = results.scores["ensemble"]
        text += (
            f" All {folds} together are estimated at {percent(ensemble['value'])} "
            f"({percent_range(ensemble['low'], ensemble['high'])}) on new images of the same kind: "
            f"{ensemble['method']}."
        )
    if not results.picks_epochs:
        return text + " No setting was chosen on these images."
    text += " Each fold's best epoch was selected on the same images, which flatters the accuracy "
    if results.optimism is None:
        return text + "by an unknown amount: that takes the histories of two folds."
    return text + (
        f"by at most about {100 * results.optimism:.1f} points (the best epoch against the one "
        "that the other folds would select)."
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
        after = _score(key, calibrated) if calibrated else ""
        rows.append((name, _score(key, trained), after))
    return Table(("score", "as trained (95 % interval)", "calibrated by the other folds"), rows)


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
    if command := remake_command(results):
        return command
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
        *listed_boxes(results),
    ]
    return shlex.join(words)


def listed_boxes(results: Results) -> list[str]:
    """Override the file of boxes that a recipe names: the run's own table has the boxes."""
    return ["data.boxes="] if results.snapshot.recipe.data.boxes else []


def remake_command(results: Results) -> str:
    """Give the command that makes a student or a joined run of other runs; empty for other runs.

    Args:
        results: the results of a run.

    Returns:
        A shell command line without folders of this machine.
    """
    run = results.run
    if run.file(TARGETS).exists():
        return "bestiary distill RUN NEW_RUN"
    if blend := run.read_json(ENSEMBLE).get("blend"):
        return shlex.join(["bestiary", "join", *_names_of_parts(blend), "NEW_RUN"])
    return ""


def _names_of_parts(blend: Any) -> list[str]:
    """Names of the runs that were joined, as the new run says; a stranger's may say anything."""
    names = blend.get("runs") if isinstance(blend, dict) else None
    return list(map(str, names)) if isinstance(names, list) and names else ["RUN", "OTHER"]


def _score(key: str, score: dict[str, float]) -> str:
    if key in SHARES:
        return f"{percent(score['value'])} ({percent_range(score['low'], score['high'])})"
    return f"{score['value']:.3f} ({score['low']:.3f}\N{EN DASH}{score['high']:.3f})"
