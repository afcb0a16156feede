"""A run's results -> data frames for Python: history, out-of-fold predictions, scores, confusion.

Each is tidy: one row an epoch, an image, a score, a pair of classes. Computes no score itself.
"""

from typing import Any

import numpy as np
import polars as pl

from bestiary.evaluation.results import Results, read_histories
from bestiary.run.history import HISTORY_COLUMNS
from bestiary.run.run import Run

SCORES_SCHEMA = {
    "score": pl.String,
    "fold": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "groups": pl.Int64,
}


def history_frame(run: Run) -> pl.DataFrame:
    """One row for each epoch of each fold, as far as training has come.

    Args:
        run: the run, finished or not.

    Returns:
        Columns: fold, then `HISTORY_COLUMNS`. No row where only heads were fitted.

    Raises:
        RunError: a file is missing or damaged.
    """
    tables = [pl.DataFrame(schema={"fold": pl.Int64, **HISTORY_COLUMNS})]
    for fold, history in read_histories(run, run.fold_numbers()).items():
        number = pl.lit(fold, pl.Int64).alias("fold")
        tables.append(history.select(number, *HISTORY_COLUMNS))
    return pl.concat(tables)


def oof_frame(results: Results) -> pl.DataFrame:
    """One row for each scored image, with the answer of the one member that had not seen it.

    Args:
        results: of a run.

    Returns:
        Columns: path, label, answer, right, confidence (0 to 1, calibrated by the other folds),
        fold, group (images of one group count once), probabilities (classes,). The mean of `right`
        is the accuracy of the run.
    """
    classes = np.array(results.classes)
    probabilities = np.ascontiguousarray(results.probabilities)
    return pl.DataFrame(
        {
            "path": results.table["path"],
            "label": classes[results.labels].tolist(),
            "answer": classes[results.predicted].tolist(),
            "right": results.hits,
            "confidence": results.confidence,
            "fold": results.folds,
            "group": results.groups,
            "probabilities": pl.Series(
                probabilities, dtype=pl.Array(pl.Float64, probabilities.shape[1])
            ),
        }
    )


def scores_frame(scores: dict[str, Any]) -> pl.DataFrame:
    """One row for each out-of-fold score, with its 95 % interval.

    Args:
        scores: of metrics.json, see `bestiary.stats.scores.oof_scores`.

    Returns:
        Columns: score, fold (null: all folds), value, low, high, n (images), groups. Rows:
        accuracy, that of each fold, ensemble (estimated for all members together), the other
        scores; those named calibrated are by the temperature of the other folds.
    """
    overall = scores["accuracy"]
    counts = {"n": overall["n"], "groups": overall["groups"]}
    rows = [{"score": "accuracy", **overall}]
    rows += [{"score": "accuracy", **fold} for fold in scores.get("folds", [])]
    if scores.get("ensemble"):
        rows.append({"score": "ensemble", **scores["ensemble"]})
    for name, score in scores.get("scores", {}).items():
        rows.append({"score": name, **counts, **score})
    for name, score in scores.get("calibrated", {}).items():
        rows.append({"score": f"{name} calibrated", **counts, **score})
    known = [{key: row.get(key) for key in SCORES_SCHEMA} for row in rows]
    return pl.DataFrame(known, schema=SCORES_SCHEMA)


def confusion_frame(results: Results) -> pl.DataFrame:
    """One row for each pair of classes, zeros included.

    Args:
        results: of a run.

    Returns:
        Columns: label, answer, images, and share: of the images with that label, null where
        there is none. In the order of the classes.
    """
    counts = results.confusion
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    classes = results.classes
    return pl.DataFrame(
        {
            "label": [name for name in classes for _ in classes],
            "answer": classes * len(classes),
            "images": counts.ravel(),
            "share": shares.ravel(),
        }
    ).with_columns(pl.col("share").fill_nan(None))
