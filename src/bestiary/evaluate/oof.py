"""A run's out-of-fold logits -> metrics.json, the number that the run stands for."""

import numpy as np
import polars as pl

from bestiary.data.folds import join_groups
from bestiary.data.manifest import GROUP_KEYS
from bestiary.errors import RunError
from bestiary.evaluate.scores import oof_scores
from bestiary.run import Run, read_oof


def score_run(run: Run) -> bool:
    """Write metrics.json if all folds have ended; says whether they have.

    Raises:
        RunError: out-of-fold logits are damaged or do not cover the manifest.
    """
    folds = run.folds
    if not all(run.fold(fold).ended for fold in folds):
        return False
    tables, classes = [], [""]
    for fold in folds:
        table, classes = read_oof(run.fold(fold))
        tables.append(table.with_columns(pl.lit(fold).alias("fold")))
    manifest = run.read_table("manifest.parquet").select("path", "label", "conflict", *GROUP_KEYS)
    joined = manifest.join(pl.concat(tables).drop("label"), on="path", how="left", maintain_order="left")
    if joined.height != manifest.height or joined["fold"].null_count():
        raise RunError(
            f"{run.path}: out-of-fold logits do not cover the manifest; remove the fold's folder and --resume"
        )
    joined = joined.filter(~pl.col("conflict"))  # nobody knows which of its labels is right
    logits = joined["logits"].to_numpy()
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[label] for label in joined["label"]], np.int64)
    groups = join_groups(*(joined[key] for key in GROUP_KEYS))
    run.write_json("metrics.json", {"oof": oof_scores(logits, labels, joined["fold"].to_numpy(), groups)})
    return True
