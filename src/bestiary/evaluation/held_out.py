"""An ensemble and labeled images that it has not seen -> its accuracy by every averaging rule,
and each member's.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.table import Table

from bestiary.atomic import write_text
from bestiary.data.folds import leak_groups
from bestiary.data.near_duplicates.recognition import KINDS, Recognition, recognize_labeled
from bestiary.display import Display, on_screen
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.out_of_fold import class_numbers
from bestiary.run.layout import ENSEMBLE, MANIFEST, METRICS
from bestiary.run.run import Run
from bestiary.stats.averaging import AVERAGES, Average, average
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.calibration import COVERAGES
from bestiary.stats.ensemble_gain import Estimate
from bestiary.stats.intervals import effective_size
from bestiary.stats.scores import held_out_scores
from bestiary.storage.files import Root

Logits = NDArray[np.float32]  # (members, images, classes)
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on held-out images; prints as a table.

    Attributes:
        scores: ensemble (rule -> accuracy with interval), members, mean_member, what was left out
            (counts, and under recognized the trained images and copies of them, each with how it
            was seen and the run's image), caution (how well confidence, sets and unknown keep their
            promise) and estimate (what was expected).
    """

    scores: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """1 when some images could not be read."""
        return int(bool(self.scores["unreadable"]))

    def __str__(self) -> str:
        table = Table(box=None, pad_edge=False)
        for name in ("predictor", "accuracy", "95 % interval"):
            table.add_column(name, justify="left" if name == "predictor" else "right")
        members = {f"member of fold {m['fold']}": m for m in self.scores["members"]}
        for name, row in {
            **{f"ensemble, {k}": v for k, v in self.scores["ensemble"].items()},
            **members,
        }.items():
            table.add_row(name, f"{row['value']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}")
        table.add_row("mean member", f"{self.scores['mean_member']:.4f}", "")
        lines = [
            f"{self.scores['n']:,} images of {self.scores['classes']} classes",
            "",
            on_screen(table),
            "",
        ]
        lines += [
            *_estimate_lines(self.scores["estimate"]),
            *_caution_lines(self.scores["reliability"]),
        ]
        for key, words in _LEFT_OUT.items():
            if self.scores[key]:
                alike = [
                    row
                    for row in self.scores["recognized"]
                    if row["kind"] == key and key != "seen_in_training"
                ]
                named = [f"{row['path']} of {row['original']}" for row in alike[:2]]
                more = f" ({', '.join(named)}{' ...' if len(alike) > 2 else ''})" if named else ""
                lines.append(f"{self.scores[key]:,} {words}{more}")
        if self.scores["gone"]:
            lines.append(f"{self.scores['gone']:,} {_GONE}")
        return "\n".join(lines)


def _estimate_lines(estimate: dict[str, Any] | None) -> list[str]:
    if estimate is None:
        return []
    expected = f"{estimate['value']:.4f}, on so many images {estimate['low']:.4f} to {estimate['high']:.4f}"
    verdict = (
        "it holds"
        if estimate["holds"]
        else "it does not: chance (1 in 20), or another kind of image"
    )
    return ["Expected of the ensemble from out-of-fold scores:", f"  {expected}; {verdict}"]


def _caution_lines(caution: dict[str, Any] | None) -> list[str]:
    if caution is None:
        return []
    held = ", ".join(
        f"{100 * float(asked):g} %: {100 * share:.1f} %"
        for asked, share in caution["empirical_coverage"].items()
    )
    ece = caution["scores"]["ece"]["value"]
    return [
        f"Calibration error {ece:.4f}; called unknown {100 * caution['unknown']['energy']:.1f} %",
        "Share of sets that were to hold the true class, and that did:",
        f"  {held}",
    ]


_LEFT_OUT = {
    "seen_in_training": "images left out: the run was trained on them",
    "same_pixels": "images left out: the run was trained on the same pixels in another file",
    "near_duplicate": "images left out: near copies of images that the run was trained on",
    "unknown_class": "images left out: the run has no such class",
    "unreadable": "images left out: they could not be read",
}
_GONE = (
    "images of the run are gone from its data folder: near copies of them could not be recognized"
)


def evaluate_folder(
    run: Run, ensemble: Ensemble, images: Path, out: Path | None, display: Display
) -> Evaluation:
    """Score `ensemble` on the labeled images at `images` that `run` has not been trained on.

    Raises:
        DataError: no labeled image is there, or none is left that the run has not seen and has a
            class for.
    """
    new = unseen_images(run, ensemble.classes_.tolist(), images, display)
    found, left_out = new.found, new.left_out
    logits, readable = member_logits(ensemble, new.root, new.table, display)
    fresh = new.table.filter(pl.Series(readable))
    left_out["unreadable"] += int((~readable).sum())
    labels = class_numbers(fresh["label"], ensemble.classes_.tolist())
    groups = leak_groups(fresh)
    rules = {rule: average(logits, rule) for rule in AVERAGES}
    folds = [int(m["fold"]) for m in run.read_json(ENSEMBLE)["members"]]
    scores = held_out_scores(rules, dict(zip(folds, logits, strict=True)), labels, groups)
    recognized = (
        found.table.filter(pl.col("kind").is_not_null())
        .select("path", "kind", "original")
        .to_dicts()
    )
    about = {"n": len(labels), "classes": len(set(fresh["label"])), **left_out, "gone": found.gone}
    scores = {**about, **scores, "recognized": recognized}
    scores |= {
        "reliability": _caution(ensemble, logits, labels, groups),
        "estimate": _estimate(run, rules, labels, groups),
    }
    if out is not None:
        write_text(out, json.dumps(scores, indent=2) + "\n")
    return Evaluation(scores)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Labeled images that a run may be scored by.

    Attributes:
        root: folder that the paths start from.
        table: columns as of a manifest, one image at least; none is the run's or a copy of one, all
            have a class.
        found: what was recognized.
        left_out: why others were left out, counted.
    """

    root: Root
    table: pl.DataFrame
    found: Recognition
    left_out: dict[str, int]


def unseen_images(run: Run, classes: list[str], images: Path, display: Display) -> Unseen:
    """The labeled images at `images` that are new to `run`, which knows `classes`.

    Raises:
        DataError: no labeled image is there, or none is left that the run has not seen and has a
            class for.
    """
    read, found = recognize_labeled(images, run.read_table(MANIFEST), run.read_root(), display)
    table = found.table.with_columns(
        *((pl.col("kind") == kind).fill_null(False).alias(kind) for kind in KINDS),
        (~pl.col("label").is_in(classes)).alias("unknown_class"),
    )
    fresh = table.filter(~pl.any_horizontal(*KINDS, "unknown_class"))
    left_out = {key: int(table[key].sum()) for key in (*KINDS, "unknown_class")}
    left_out["unreadable"] = read.quarantine.height
    if fresh.is_empty():
        reasons = ", ".join(
            f"{left_out[key]} {words.split(': ')[1]}"
            for key, words in _LEFT_OUT.items()
            if left_out[key]
        )
        raise DataError(
            f"{images}: no image is left to score ({reasons}); for trained images see bestiary show"
        )
    return Unseen(read.root, fresh, found, left_out)


def _caution(
    ensemble: Ensemble, logits: Logits, labels: Labels, groups: Labels
) -> dict[str, Any] | None:
    """How well confidence, sets and unknown keep their promise here; None where the run is not
    calibrated.
    """
    if not (ensemble.calibration and ensemble.known):
        return None
    probabilities = ensemble.probabilities(logits)
    rows = np.arange(len(labels))
    found = zip(
        ("energy", "distance"), ensemble.known.scores(logits), ensemble.known.limits, strict=True
    )
    unknown = {name: float((score > limit).mean()) for name, score, limit in found}
    held = {
        str(c): float(ensemble.calibration.set_of(probabilities, c)[rows, labels].mean())
        for c in COVERAGES
    }
    scores = {
        name: asdict(score)
        for name, score in score_intervals(probabilities, labels, groups).items()
    }
    return {"scores": scores, "empirical_coverage": held, "unknown": unknown}


def _estimate(
    run: Run, rules: dict[Average, NDArray[np.float64]], labels: Labels, groups: Labels
) -> dict[str, Any] | None:
    """What the run's out-of-fold scores let expect of so many images; None where they are not
    complete.
    """
    if not run.file(METRICS).exists() or "ensemble" not in run.read_json(METRICS)["oof"]:
        return None
    estimate = Estimate(**run.read_json(METRICS)["oof"]["ensemble"])
    hits = rules[run.read_recipe().predict.average].argmax(axis=1) == labels
    low, high = estimate.on(effective_size(hits, groups))
    return {
        "value": estimate.value,
        "low": low,
        "high": high,
        "holds": bool(low <= hits.mean() <= high),
    }


def member_logits(
    ensemble: Ensemble, root: Root, table: pl.DataFrame, display: Display
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Logits (members, readable images, classes), and which images are readable."""
    parts, readable = [], np.ones(table.height, np.bool_)
    with display.counter("Predicting") as tick:
        for scored in ensemble.score([root / path for path in table["path"]], tick):
            readable[list(scored.reasons)] = False
            parts.append(scored.logits[:, readable[scored.rows]])
    if not readable.any():
        raise DataError(f"{root}: none of the images can be decoded")
    return np.concatenate(parts, axis=1), readable
