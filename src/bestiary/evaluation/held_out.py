"""An ensemble and held-out labeled images -> accuracy by every averaging rule and of every member.

Images that the run was trained on, and near duplicates of them, are left out of the scores;
a second set of scores is with them. Also measures how reliable confidence, prediction sets and the
unknown flag are on new images. Trains nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import write_text
from bestiary.data.folds import leak_groups
from bestiary.data.listing import DEFAULT_OPTIONS
from bestiary.data.listing_types import DataPath
from bestiary.data.manifest import GROUP_KEYS
from bestiary.data.near_duplicates.recognition import DUPLICATE_KINDS, Recognition
from bestiary.display import Display
from bestiary.ensemble.answers import PredictionOptions, answer_batch
from bestiary.ensemble.batch_logits import BatchLogits
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.cascading import first_logits, score_cascade
from bestiary.evaluation.evaluation_text import Evaluation
from bestiary.evaluation.held_out_results import HeldOutResults
from bestiary.evaluation.held_out_tables import JudgedImages, write_tables
from bestiary.evaluation.out_of_fold import class_numbers
from bestiary.evaluation.unseen import (
    NO_MAP,
    Logits,
    Unseen,
    member_logits,
    unseen_images,
)
from bestiary.printable import place_name
from bestiary.recipe.choices import Average
from bestiary.recipe.sections import DataOptions
from bestiary.run.layout import HELD_OUT_SCORES
from bestiary.run.run import Run
from bestiary.stats.averaging import AVERAGES, average
from bestiary.stats.calibration import COVERAGES
from bestiary.stats.cascade import Cascade
from bestiary.stats.ensemble_gain import Estimate
from bestiary.stats.intervals import effective_size
from bestiary.stats.ood import OodDetector
from bestiary.stats.scores import held_out_scores

Labels = NDArray[np.int64]  # (images,)
Rules = dict[Average, NDArray[np.float64]]  # averaging rule -> probabilities (images, classes)


@dataclass(frozen=True)
class _Predicted:
    """Readable images of one kind, with the members' logits (members, images, classes)."""

    table: pl.DataFrame
    logits: Logits


def evaluate_folder(
    run: Run,
    ensemble: Ensemble,
    images: DataPath,
    out: Path | None,
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
    mapping: Mapping[str, str] = NO_MAP,
    cascade: Cascade | None = None,
) -> Evaluation:
    """Score an ensemble on labeled images that its run was not trained on.

    Args:
        run: the run.
        ensemble: its ensemble.
        images: folder of class folders, or a table.
        out: a .json file to write the scores to, or a folder for the scores and the tables of
            images, classes and confusions; None: none.
        display: shows progress.
        options: how the images are listed.
        mapping: class of the images -> class of the run that it is.
        cascade: is scored too.

    Returns:
        The scores.

    Raises:
        DataError: there is no labeled image, or none that is new to the run and of its classes.
        ArgumentError: the mapping names a class that is not there.
    """
    wants_tables = out is not None and out.suffix.lower() != ".json"
    classes = ensemble.classes_.tolist()
    unseen = unseen_images(run, classes, images, display, options, mapping)
    # Nothing is asked about images of foreign classes but what a table says of them.
    kinds = [unseen.table, unseen.seen, *([unseen.foreign] if wants_tables else [])]
    predicted, failed = _predict(ensemble, unseen, kinds, display)
    new, seen = predicted[:2]
    if new.table.is_empty():
        raise DataError(f"{place_name(unseen.root)}: none of the new images can be decoded")
    unseen.left_out["unreadable"] += failed.join(unseen.table, on="path", how="semi").height

    results = HeldOutResults(
        unseen.root,
        new.table["path"].to_list(),
        classes,
        class_numbers(new.table["label"], classes),
        leak_groups(new.table),
        ensemble.probabilities(new.logits),
    )
    scores = _score(run, ensemble, unseen, results, new.logits)
    scores["with_seen"] = _score_with_seen(ensemble, new, seen)
    if cascade is not None:
        files = [unseen.root / path for path in new.table["path"]]
        first = first_logits(run, ensemble, cascade, files, new.logits)
        scores["cascade"] = score_cascade(cascade, ensemble, new.table, first, new.logits)
    if out is not None:
        file = out / HELD_OUT_SCORES if wants_tables else out
        write_text(file, json.dumps(scores, indent=2) + "\n")
    if out is not None and wants_tables:
        judged = _judge(ensemble, predicted, pl.concat([unseen.quarantine, failed]))
        write_tables(out, judged, results)
    return Evaluation(scores, results)


def _predict(
    ensemble: Ensemble, unseen: Unseen, kinds: list[pl.DataFrame], display: Display
) -> tuple[list[_Predicted], pl.DataFrame]:
    """Predict tables of images; also return path and reason of those that cannot be read."""
    together = pl.concat(kinds)
    logits, reasons = member_logits(ensemble, unseen.root, together, display)
    is_readable = pl.Series([index not in reasons for index in range(together.height)])
    part = np.repeat(np.arange(len(kinds)), [kind.height for kind in kinds])
    readable_part = part[is_readable.to_numpy()]
    predicted = [
        _Predicted(
            together.filter(is_readable & pl.Series(part == number)),
            logits[:, readable_part == number],
        )
        for number in range(len(kinds))
    ]
    paths = [together["path"][index] for index in reasons]
    schema = {"path": pl.String, "reason": pl.String}
    return predicted, pl.DataFrame({"path": paths, "reason": list(reasons.values())}, schema)


def _judge(
    ensemble: Ensemble, predicted: list[_Predicted], unreadable: pl.DataFrame
) -> JudgedImages:
    """Answer all images that could be read, as `predict` would."""
    table = pl.concat([one.table for one in predicted])
    logits = np.concatenate([one.logits for one in predicted], axis=1)
    batch = BatchLogits(np.arange(table.height), logits, {})
    answers = answer_batch(ensemble, batch, ensemble.average, PredictionOptions())
    reasons = [
        pl.when(reason).then(pl.lit(reason)) for reason in ("unknown_class", *DUPLICATE_KINDS)
    ]
    rows = table.select("path", "label", left_out=pl.coalesce(reasons), duplicate_of="original")
    return JudgedImages(rows, answers, unreadable)


def _score(
    run: Run,
    ensemble: Ensemble,
    unseen: Unseen,
    results: HeldOutResults,
    logits: Logits,
) -> dict[str, Any]:
    """Score the images of `results`, with logits of all members; see `Evaluation`."""
    labels, groups = results.labels, results.groups
    rules, members = _predictors(ensemble, logits)
    absent = np.setdiff1d(np.arange(len(results.classes)), labels)
    return {
        "n": len(labels),
        "classes": len(np.unique(labels)),
        **unseen.left_out,
        "unknown_classes": unseen.unknown_classes,
        "suggestions": {name: asdict(one) for name, one in unseen.suggestions.items()},
        "classes_without_images": sorted(results.classes[number] for number in absent),
        "gone": unseen.recognition.n_missing,
        **held_out_scores(rules, members, labels, groups),
        "recognized": _recognized_rows(unseen.recognition),
        "reliability": _reliability(ensemble, results, logits),
        "estimate": _estimate(run, rules, labels, groups),
    }


def _score_with_seen(
    ensemble: Ensemble, new: _Predicted, seen: _Predicted
) -> dict[str, Any] | None:
    """Score the new and the seen images together; None: the run has seen none."""
    if seen.table.is_empty():
        return None
    columns = ["label", *GROUP_KEYS]
    both = pl.concat([new.table.select(columns), seen.table.select(columns)])
    both_logits = np.concatenate([new.logits, seen.logits], axis=1)

    labels = class_numbers(both["label"], ensemble.classes_.tolist())
    rules, members = _predictors(ensemble, both_logits)
    scores = held_out_scores(rules, members, labels, leak_groups(both))
    return {"n": both.height, "n_seen": seen.table.height, **scores}


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
    results: HeldOutResults,
    logits: Logits,
) -> dict[str, Any] | None:
    """Measure calibrated scores, coverage and the share called unknown; None: not calibrated."""
    if not (ensemble.calibration and ensemble.ood):
        return None

    # Share of images whose prediction set contains the true class
    images = np.arange(len(results.labels))
    empirical_coverage = {}
    for coverage in COVERAGES:
        inside = ensemble.calibration.set_mask(results.probabilities, coverage)
        is_covered = inside[images, results.labels]
        empirical_coverage[str(coverage)] = float(is_covered.mean())

    return {
        "scores": results.scores["scores"],
        "empirical_coverage": empirical_coverage,
        "unknown": _unknown_shares(ensemble.ood, logits),
    }


def _unknown_shares(detector: OodDetector, logits: Logits) -> dict[str, float]:
    """Compute the share of images that each score, and the one that decides, calls unknown."""
    energies, distances = detector.scores(logits)
    energy_limit, distance_limit = detector.limits
    is_high_energy = energies > energy_limit
    is_distant = distances > distance_limit
    return {
        "energy": float(is_high_energy.mean()),
        "distance": float(is_distant.mean()),
        "decided": float(detector.is_unknown(logits).mean()),
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
