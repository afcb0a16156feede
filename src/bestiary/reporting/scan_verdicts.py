"""Audit -> verdicts, the gravest first: what to settle, what to look at, what is fine.

Each says what was found, what it means for training, and the next step. Finds nothing itself.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from bestiary.data.audit import Audit
from bestiary.data.class_counts import HIGH_IMBALANCE, SMALL_CLASS_IMAGES, imbalance
from bestiary.numbers import count, plain_name
from bestiary.run.layout import NEAR_DUPLICATES, NOT_DUPLICATES, QUARANTINE, SAME_SCENES, WARNINGS

Severity = Literal["settle", "look", "fine"]

FOLDS = "bestiary judges each part of the images by a network that has not seen it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One finding of a scan.

    Attributes:
        severity: settle: a score would be wrong; look: worth a look; fine: taken care of.
        title: what was found, a short sentence.
        meaning: what it means for training.
        step: what to do next; empty if nothing is to be done.
        section: the section of the page that shows it; empty if none does.
    """

    severity: Severity
    title: str
    meaning: str
    step: str = ""
    section: str = ""


def scan_verdicts(audit: Audit) -> list[Verdict]:
    """Judge an audit.

    Args:
        audit: the findings.

    Returns:
        A verdict for each kind of finding, the gravest first; without any, none.
    """
    verdicts = [
        *_leak_verdicts(audit),
        *_conflict_verdicts(audit),
        *_name_verdicts(audit),
        *_file_verdicts(audit),
        *_class_verdicts(audit),
        *_duplicate_verdicts(audit),
    ]
    order: list[Severity] = ["settle", "look", "fine"]
    return sorted(verdicts, key=lambda verdict: order.index(verdict.severity))


def headline(verdicts: list[Verdict]) -> str:
    """State the finding of a scan in one sentence.

    Args:
        verdicts: as from `scan_verdicts`.
    """
    settle = sum(verdict.severity == "settle" for verdict in verdicts)
    look = sum(verdict.severity == "look" for verdict in verdicts)
    if settle:
        return f"{count(settle, 'thing')} to settle before you train"
    if look:
        return f"Ready to train, with {count(look, 'thing')} to look at"
    return "Ready to train: no problem was found"


def _leak_verdicts(audit: Audit) -> list[Verdict]:
    n_leaks = audit.leaks.height
    if not n_leaks:
        return []
    return [
        Verdict(
            "settle",
            f"{n_leaks:,} of {count(audit.test.height, 'test image')} "
            f"{'has' if n_leaks == 1 else 'have'} a copy among the images to train on",
            "A score on this test split is too high.",
            f"Take them out of one of the two; {NEAR_DUPLICATES} lists them in the column leak.",
            "leaks",
        )
    ]


def _conflict_verdicts(audit: Audit) -> list[Verdict]:
    conflicts = audit.near_duplicates.filter("label_conflict")
    if not conflicts.height:
        return []
    n_groups = conflicts["duplicate_group"].n_unique()
    groups = count(n_groups, "group")
    return [
        Verdict(
            "settle",
            f"{count(conflicts.height, 'image')} in {groups} of copies have different labels",
            "Nobody knows which label is right: they are trained on, and never scored.",
            "Move the wrong ones to the other class folder, then scan again.",
            "label-conflicts",
        )
    ]


def _name_verdicts(audit: Audit) -> list[Verdict]:
    similar = audit.classes.filter(pl.col("similar_names").is_not_null())
    if not similar.height:
        return []
    label, _, others = similar.row(0)
    return [
        Verdict(
            "settle",
            f"{count(similar.height, 'class name')} differ in case, spaces or width only",
            f"Probably one class under two names, such as {plain_name(label)} and {others}.",
            "Give them one name, or make the difference plain.",
            "classes",
        )
    ]


def _file_verdicts(audit: Audit) -> list[Verdict]:
    verdicts = []
    if audit.quarantine.height:
        verdicts.append(
            Verdict(
                "look",
                f"{count(audit.quarantine.height, 'file')} cannot be used",
                "They are left out of everything.",
                f"Replace or delete them; {QUARANTINE} has the reasons.",
                "unusable",
            )
        )
    if audit.warnings.height:
        verdicts.append(
            Verdict(
                "look",
                count(audit.warnings.height, "image looks odd", "images look odd"),
                "They are used as they are.",
                f"Remove those that show nothing of their class; {WARNINGS} lists them.",
                "warnings",
            )
        )
    return verdicts


def _class_verdicts(audit: Audit) -> list[Verdict]:
    verdicts = []
    small = audit.classes.filter(pl.col("images") < SMALL_CLASS_IMAGES)
    if small.height:
        classes = count(small.height, "class has", "classes have")
        verdicts.append(
            Verdict(
                "look",
                f"{classes} fewer than {SMALL_CLASS_IMAGES} images",
                "Their own scores say little, and their images are answered less well.",
                "Add images, or merge classes that you need not tell apart.",
                "classes",
            )
        )
    ratio = imbalance(audit.classes)
    if ratio >= HIGH_IMBALANCE:
        verdicts.append(
            Verdict(
                "look",
                f"The largest class has {ratio:.0f} times the images of the smallest",
                "Accuracy mostly measures the large classes; read the mean over classes too.",
                "Try --set loss.logit_adjustment=1, and compare.",
                "classes",
            )
        )
    return verdicts


def _duplicate_verdicts(audit: Audit) -> list[Verdict]:
    verdicts = []
    others = audit.near_duplicates.filter(~pl.col("leak") & ~pl.col("label_conflict"))
    if others.height:
        groups = count(others["duplicate_group"].n_unique(), "group")
        verdicts.append(
            Verdict(
                "fine",
                f"{count(others.height, 'image')} in {groups} are copies of each other",
                f"They count once: {FOLDS}, and copies stay in one part.",
                f"Is a pair none? Write no in its row of {NOT_DUPLICATES}, and give that file to "
                "scan, train or probe with --not-duplicates.",
                "near-duplicates",
            )
        )
    if audit.scenes.height:
        bursts = count(audit.scenes["scene"].n_unique(), "burst")
        verdicts.append(
            Verdict(
                "fine",
                f"{count(audit.scenes.height, 'image')} are of {bursts} of one camera",
                f"They stay together: {FOLDS}.",
                f"{SAME_SCENES} lists them.",
                "same-scene",
            )
        )
    return verdicts
