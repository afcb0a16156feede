"""An ensemble and held-out labeled images -> accuracy by every averaging rule and of every member.

Images that the run was trained on, and near duplicates of them, are left out of the scores;
a second set of scores is with them. Also measures how reliable confidence, prediction sets and the
unknown flag are on new images. Trains nothing.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import write_text
from bestiary.data.eval_view import white_of
from bestiary.data.folds import leak_groups
from bestiary.data.left_out import describe_left_out
from bestiary.data.listing import DEFAULT_OPTIONS
from bestiary.data.listing_types import DataPath
from bestiary.data.manifest import GROUP_KEYS
from bestiary.data.near_duplicates.recognition import (
    DUPLICATE_KINDS,
    Recognition,
    recognize_labeled,
)
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.cascading import score_cascade
from bestiary.evaluation.evaluation_text import LEFT_OUT, Evaluation
from bestiary.evaluation.out_of_fold import class_numbers
from bestiary.recipe.choices import Average
from bestiary.recipe.sections import DataOptions
from bestiary.run.images import UNKNOWN_REASON, UnknownRoot
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.stats.averaging import AVERAGES, average
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.calibration import COVERAGES
from bestiary.stats.cascade import Cascade
from bestiary.stats.ensemble_gain import Estimate
from bestiary.stats.intervals import effective_size
from bestiary.stats.ood import OodDetector
from bestiary.stats.scores import held_out_scores
from bestiary.storage.files import Root

Logits = NDArray[np.float32]  # (members, images, classes)
Labels = NDArray[np.int64]  # (images,)
Rules = dict[Average, NDArray[np.float64]]  # averaging rule -> probabilities (images, classes)

TABLE_REASONS = (*DUPLICATE_KINDS, "unknown_class")  # columns of flags


@dataclass(frozen=True, slots=True)
class Unseen:
    """Labeled images that a run may be evaluated on.

    Attributes:
        root: folder that the paths start from.
        table: columns of a manifest, at least one image. No image is the run's or a near duplicate
            of one, and all have a class of the run.
        seen: the other images of a class of the run: its own, and near duplicates of them.
        recognition: the images that were recognized.
        left_out: reason -> number of images that were left out.
        unknown_classes: class that the run does not have -> number of images left out for it.
    """

    root: Root
    table: pl.DataFrame
    seen: pl.DataFrame
    recognition: Recognition
    left_out: dict[str, int]
    unknown_classes: dict[str, int]


def evaluate_folder(
    run: Run,
    ensemble: Ensemble,
    images: DataPath,
    out: Path | None,
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
    cascade: Cascade | None = None,
) -> Evaluation:
    """Score an ensemble on labeled images that its run was not trained on.

    Args:
        run: the run.
        ensemble: its ensemble.
        images: folder of class folders, or a table.
        out: JSON file to write the scores to; None: none.
        display: shows progress.
        options: how the images are listed.
        cascade: is scored too.

    Returns:
        The scores.

    Raises:
        DataError: there is no labeled image, or none that is new to the run and of its classes.
    """
    unseen = unseen_images(run, ensemble.classes_.tolist(), images, display, options)
    logits, is_readable = member_logits(ensemble, unseen.root, unseen.table, display)
    unseen.left_out["unreadable"] += int((~is_readable).sum())
    table = unseen.table.filter(pl.Series(is_readable))
    scores = _score(run, ensemble, unseen, table, logits)
    scores["with_seen"] = _score_with_seen(ensemble, unseen, table, logits, display)
    if cascade is not None:
        scores["cascade"] = score_cascade(cascade, ensemble, table, logits)
    if out is not None:
        write_text(out, json.dumps(scores, indent=2) + "\n")
    return Evaluation(scores)


def unseen_images(
    run: Run,
    classes: list[str],
    images: DataPath,
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
) -> Unseen:
    """Read the labeled images that are new to a run.

    Args:
        run: the run.
        classes: names of its classes.
        images: folder of class folders, or a table.
        display: shows progress.
        options: how the images are listed.

    Returns:
        The new images, and how many others were left out.

    Raises:
        DataError: there is no labeled image, or none that is new to the run and of its classes.
    """
    root = run.read_root()
    read, recognition = recognize_labeled(
        images,
        run.read_table(MANIFEST),
        root,
        display,
        options,
    )
    run_white = white_of(run.read_recipe().view)
    for line in describe_left_out(read, run_white=run_white):
        display.notice(line)
    if recognition.n_missing and isinstance(root, UnknownRoot):
        display.notice(
            f"Near duplicates of {recognition.n_missing:,} training images are not looked for: "
            f"{UNKNOWN_REASON}"
        )

    table = _flag_reasons(recognition.table, classes)
    new = table.filter(~pl.any_horizontal(*TABLE_REASONS))
    left_out = {reason: int(table[reason].sum()) for reason in TABLE_REASONS}
    left_out["unreadable"] = read.quarantine.height
    if new.is_empty():
        raise DataError(
            f"{images}: no image is left to score ({_causes(left_out)}); for trained images see "
            f"bestiary show"
        )
    unknown = _count_labels(table.filter("unknown_class"))
    is_seen = pl.any_horizontal(*DUPLICATE_KINDS) & ~pl.col("unknown_class")
    return Unseen(read.root, new, table.filter(is_seen), recognition, left_out, unknown)


def _count_labels(table: pl.DataFrame) -> dict[str, int]:
    """Count the images of each class, the largest first."""
    counts = table["label"].value_counts(sort=True)
    return dict(counts.sort("count", "label", descending=[True, False]).iter_rows())


def _flag_reasons(table: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    """Add a column for each of `TABLE_REASONS`: whether the image is left out for it."""
    flags = []
    for kind in DUPLICATE_KINDS:
        is_kind = (pl.col("kind") == kind).fill_null(False)
        flags.append(is_kind.alias(kind))
    has_known_class = pl.col("label").is_in(classes)
    flags.append((~has_known_class).alias("unknown_class"))
    return table.with_columns(flags)


def _causes(left_out: dict[str, int]) -> str:
    """List how many images were left out for which reason."""
    causes = []
    for reason, words in LEFT_OUT.items():
        if left_out[reason]:
            _, cause = words.split(": ")
            causes.append(f"{left_out[reason]}: {cause}")
    return "; ".join(causes)


def member_logits(
    ensemble: Ensemble,
    root: Root,
    table: pl.DataFrame,
    display: Display,
) -> tuple[Logits, NDArray[np.bool_]]:
    """Compute the members' logits of the readable images.

    Args:
        ensemble: the ensemble.
        root: folder that the paths start from.
        table: has the column path.
        display: shows progress.

    Returns:
        Logits (members, readable images, classes), and whether each image is readable (images,).

    Raises:
        DataError: no image is readable.
    """
    logits = []
    is_readable = np.ones(table.height, np.bool_)
    files = [root / path for path in table["path"]]
    with display.counter("Predicting") as tick:
        for batch in ensemble.score(files, tick):
            unreadable = list(batch.reasons)
            is_readable[unreadable] = False
            is_batch_readable = is_readable[batch.rows]
            logits.append(batch.logits[:, is_batch_readable])
    if not is_readable.any():
        raise DataError(f"{root}: none of the images can be decoded")
    return np.concatenate(logits, axis=1), is_readable


def _score(
    run: Run,
    ensemble: Ensemble,
    unseen: Unseen,
    table: pl.DataFrame,
    logits: Logits,
) -> dict[str, Any]:
    """Score the readable images of `table`; see `Evaluation`."""
    labels = class_numbers(table["label"], ensemble.classes_.tolist())
    groups = leak_groups(table)
    rules, members = _predictors(ensemble, logits)
    return {
        "n": len(labels),
        "classes": len(set(table["label"])),
        **unseen.left_out,
        "unknown_classes": unseen.unknown_classes,
        "classes_without_images": sorted(set(ensemble.classes_.tolist()) - set(table["label"])),
        "gone": unseen.recognition.n_missing,
        **held_out_scores(rules, members, labels, groups),
        "recognized": _recognized_rows(unseen.recognition),
        "reliability": _reliability(ensemble, logits, labels, groups),
        "estimate": _estimate(run, rules, labels, groups),
    }


def _score_with_seen(
    ensemble: Ensemble, unseen: Unseen, table: pl.DataFrame, logits: Logits, display: Display
) -> dict[str, Any] | None:
    """Score the new and the seen images together; None: the run has seen none."""
    if unseen.seen.is_empty():
        return None
    seen_logits, is_readable = member_logits(ensemble, unseen.root, unseen.seen, display)
    columns = ["label", *GROUP_KEYS]
    seen = unseen.seen.filter(pl.Series(is_readable))
    both = pl.concat([table.select(columns), seen.select(columns)])
    both_logits = np.concatenate([logits, seen_logits], axis=1)

    labels = class_numbers(both["label"], ensemble.classes_.tolist())
    rules, members = _predictors(ensemble, both_logits)
    scores = held_out_scores(rules, members, labels, leak_groups(both))
    return {"n": both.height, "n_seen": seen.height, **scores}


def _predictors(ensemble: Ensemble, logits: Logits) -> tuple[Rules, dict[int, Logits]]:
    """Averaging rule -> its logits (images, classes), and fold -> the logits of its member."""
    rules: Rules = {rule: average(logits, rule) for rule in AVERAGES}
    return rules, dict(zip(ensemble.folds, logits, strict=True))


def _recognized_rows(recognition: Recognition) -> list[dict[str, Any]]:
    is_recognized = pl.col("kind").is_not_null()
    rows = recognition.table.filter(is_recognized)
    return rows.select("path", "kind", "original").to_dicts()


def _reliability(
    ensemble: Ensemble,
    logits: Logits,
    labels: Labels,
    groups: Labels,
) -> dict[str, Any] | None:
    """Measure calibrated scores, coverage and the share called unknown; None: not calibrated."""
    if not (ensemble.calibration and ensemble.ood):
        return None
    probabilities = ensemble.probabilities(logits)
    intervals = score_intervals(probabilities, labels, groups)

    # Share of images whose prediction set contains the true class
    images = np.arange(len(labels))
    empirical_coverage = {}
    for coverage in COVERAGES:
        inside = ensemble.calibration.set_mask(probabilities, coverage)
        is_covered = inside[images, labels]
        empirical_coverage[str(coverage)] = float(is_covered.mean())

    return {
        "scores": {name: asdict(interval) for name, interval in intervals.items()},
        "empirical_coverage": empirical_coverage,
        "unknown": _unknown_shares(ensemble.ood, logits),
    }


def _unknown_shares(detector: OodDetector, logits: Logits) -> dict[str, float]:
    """Compute the share of images that each score calls unknown."""
    energies, distances = detector.scores(logits)
    energy_limit, distance_limit = detector.limits
    is_high_energy = energies > energy_limit
    is_distant = distances > distance_limit
    return {
        "energy": float(is_high_energy.mean()),
        "distance": float(is_distant.mean()),
    }


def _estimate(
    run: Run,
    rules: Rules,
    labels: Labels,
    groups: Labels,
) -> dict[str, Any] | None:
    """Compare the accuracy with its out-of-fold estimate; None: not all folds have ended."""
    out_of_fold = run.read_scores()
    if out_of_fold is None or "ensemble" not in out_of_fold:
        return None

    estimate = Estimate(**out_of_fold["ensemble"])
    rule = run.read_recipe().predict.average
    hits = rules[rule].argmax(axis=1) == labels
    low, high = estimate.accuracy_interval(effective_size(hits, groups))
    return {
        "value": estimate.value,
        "low": low,
        "high": high,
        "holds": bool(low <= hits.mean() <= high),
    }
