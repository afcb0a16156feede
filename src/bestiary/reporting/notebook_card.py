"""A run or an ensemble -> the card that it shows of itself in a notebook: HTML that needs no page.

Accuracy with its interval, what was trained, and thumbnails of the surest mistakes. Names may be a
stranger's, so the template escapes all of them. A card never raises: what is wrong is its text.
Computes no score.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bestiary.data.thumbnails import image_uri
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.numbers import count, counted, percent, percent_range, plain_name
from bestiary.reporting.charts.chart import cut
from bestiary.reporting.render import render
from bestiary.run.images import UNKNOWN_CAUSE, UnknownRoot
from bestiary.run.opening import opened_run
from bestiary.run.run import Run, RunSnapshot
from bestiary.stats.crossfit import crossfit_parts, crossfit_probabilities

MAX_MISTAKES = 6
SIDE = 96  # pixels of the long side of a thumbnail, and the width of its caption
LETTER_SIZE = 11.0
MAX_NAME = 400.0  # most width of the name of a run


@dataclass
class Card:
    """What a card shows.

    Attributes:
        name: of the run, or of what is shown.
        number: the accuracy; empty where it is not known.
        lines: what stands next to it, the interval first.
        mistakes: wrong answers, the surest first: uri, label, answer, confidence, path.
        wrong: number of all mistakes in words.
        notice: why something is not shown; empty where all is.
        next: what to call next, as Python.
    """

    name: str
    number: str = ""
    lines: list[str] = field(default_factory=list)
    mistakes: list[dict[str, str]] = field(default_factory=list)
    wrong: str = ""
    notice: str = ""
    next: str = ""

    def html(self) -> str:
        """Render the card."""
        return render("notebook_card.html", card=self, side=SIDE)


def run_card(run: Run) -> str:
    """Render the card of a run, finished or not.

    Args:
        run: the run.

    Returns:
        HTML; of a run that cannot be read, the reason.
    """
    card = Card(_short(run.name))
    try:
        _fill(card, run)
    except BestiaryError as error:
        card.notice = str(error)
    return card.html()


def ensemble_card(ensemble: Ensemble) -> str:
    """Render the card of an ensemble: that of its run, and what computes it.

    Args:
        ensemble: loaded from a run or not.

    Returns:
        HTML; where the run cannot be read any more, what is known without it.
    """
    members = count(len(ensemble.folds), "member")
    classes = count(len(ensemble.classes_), "class", "classes")
    card = Card("Ensemble")
    if ensemble.origin is not None:
        try:
            with opened_run(ensemble.origin.arguments.place) as run:
                card.name = f"Ensemble of {_short(run.name)}"
                _fill(card, run)
        except BestiaryError as error:
            card.notice = str(error)
    card.lines.append(f"{members}, {classes}, computed by {ensemble.engine}")
    card.next = (
        "predict(images), predict_proba(images), predict_frame(images), score(images, labels)"
    )
    return card.html()


def _fill(card: Card, run: Run) -> None:
    """Fill in what the files of a run say."""
    snapshot = run.load()
    scores = run.read_scores()
    made = _made(snapshot)
    if scores is None:
        ended, folds = len(snapshot.ended), len(snapshot.folds)
        card.lines += [f"{ended} of {counted(folds, 'fold')} ended; no score yet", *made]
        card.next = f"bestiary.train(DATA, {run.place!r}, resume=True)"
        return
    accuracy = scores["accuracy"]
    card.number = percent(accuracy["value"])
    groups = (
        f" in {counted(accuracy['groups'], 'group')}" if accuracy["groups"] != accuracy["n"] else ""
    )
    card.lines.append(
        f"out-of-fold accuracy, 95 % interval {percent_range(accuracy['low'], accuracy['high'])}, "
        f"{count(accuracy['n'], 'image')}{groups}"
    )
    together = scores.get("ensemble")
    if together and len(snapshot.folds) > 1:
        card.lines.append(
            f"all {len(snapshot.folds)} together, estimated: {percent(together['value'])} "
            f"({percent_range(together['low'], together['high'])})"
        )
    card.lines += made
    card.next = "scores, oof, confusion, history, plot.confusion(); bestiary.report(run)"
    _add_mistakes(card, snapshot, read_out_of_fold(snapshot).scorable())


def _made(snapshot: RunSnapshot) -> list[str]:
    recipe = snapshot.recipe
    classes = snapshot.manifest["label"].n_unique()
    trained = count(recipe.train.epochs, "epoch") if recipe.train.epochs else "frozen, new head"
    backbone = plain_name(recipe.model.backbone.split("/")[-1])
    return [
        f"{count(snapshot.manifest.height, 'image')} of {count(classes, 'class', 'classes')}, "
        f"{count(len(snapshot.folds), 'fold')}; {_short(backbone)}, {trained}, "
        f"{recipe.view.eval_side} px"
    ]


def _add_mistakes(card: Card, snapshot: RunSnapshot, scored: OutOfFold) -> None:
    """Add the surest mistakes, each with its thumbnail if the image is the run's."""
    parts = crossfit_parts(scored.folds, scored.groups)
    probabilities = crossfit_probabilities(scored.logits, scored.labels, parts)
    predicted = scored.logits.argmax(axis=1)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    wrong = np.flatnonzero(predicted != scored.labels)
    card.wrong = count(len(wrong), "mistake") if len(wrong) else "No mistake"
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    for row in surest.tolist():
        path = scored.table["path"][row]
        card.mistakes.append(
            {
                "uri": image_uri(snapshot.images / path, SIDE * 2),
                "path": path,
                "label": _caption(scored.classes[scored.labels[row]]),
                "answer": _caption(scored.classes[predicted[row]]),
                "confidence": percent(float(confidence[row]), 0),
            }
        )
    card.notice = snapshot.images.notice
    if isinstance(snapshot.root, UnknownRoot) and card.notice:
        opened = f"bestiary.Run.open({snapshot.run.place!r}, data=FOLDER)"
        card.notice = f"Images are left out: {UNKNOWN_CAUSE}; {opened} shows them"


def _caption(name: str) -> str:
    return cut(plain_name(name), 1.8 * SIDE, LETTER_SIZE)  # two lines


def _short(name: Any) -> str:
    return cut(plain_name(name), MAX_NAME, LETTER_SIZE)
