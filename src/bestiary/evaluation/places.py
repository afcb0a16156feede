"""Out-of-fold answers and sites -> the accuracy at each site, and at known and new sites.

A run's folds leave out images or whole sites, so its own accuracy is that at known or at new sites.
The other one takes other folds. For these, heads are fitted to features of the frozen network that
the training has cached: a matter of seconds. Computes no feature.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import assign_folds, fold_groups
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.recipe.choices import FoldBy
from bestiary.recipe.options import Recipe
from bestiary.stats.intervals import ShareInterval, share_interval
from bestiary.stats.paired import paired_difference
from bestiary.training.frozen_features import cached_features
from bestiary.training.head import fit_layer

Hits = NDArray[np.bool_]
Groups = NDArray[np.int64]
MIN_SITES = 2


def place_scores(recipe: Recipe, out_of_fold: OutOfFold) -> dict[str, Any] | None:
    """Score a run by site.

    Args:
        recipe: of the run.
        out_of_fold: its logits that may be scored.

    Returns:
        What `bestiary.run.field_scores.PlaceScores` reads; None without two sites. Where the
        groups of the images keep each site together, nothing is known of known sites.
    """
    table = out_of_fold.table
    if "site" not in table.columns or table["site"].n_unique() < MIN_SITES:
        return None
    own = np.asarray(out_of_fold.logits.argmax(axis=1) == out_of_fold.labels)
    sites = fold_groups(table, "site")
    if sites.max() == out_of_fold.leak_groups.max():  # folds of images leave out whole sites too
        rows = _site_rows(table["site"], own, out_of_fold.leak_groups)
        return {"by": "site", "sites": rows, "new": asdict(share_interval(own, sites))}
    hits = _known_and_new(recipe, out_of_fold, own)
    scores: dict[str, Any] = {
        "by": out_of_fold.by,
        "sites": _site_rows(table["site"], own, out_of_fold.leak_groups),
        "heads": bool(hits) and recipe.train.epochs > 0,
    }
    for name, by in (("known", "image"), ("new", "site")):
        if by in hits:
            groups = out_of_fold.leak_groups if by == "image" else sites
            scores[name] = asdict(share_interval(hits[by], groups))
    if len(hits) > 1:
        gap = paired_difference(hits["site"], hits["image"], sites)
        scores["gap"] = {"value": gap.value, "low": gap.low, "high": gap.high}
    return scores


def _site_rows(sites: pl.Series, hits: Hits, groups: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The accuracy at each site, worst first."""
    names = sites.to_numpy()
    rows: list[tuple[ShareInterval, str]] = []
    for site in sites.drop_nulls().unique().sort():
        is_here = names == site
        rows.append((share_interval(hits[is_here], groups[is_here]), site))
    rows.sort(key=lambda row: (row[0].value, -row[0].n, row[1]))
    return [{"site": site, **asdict(score)} for score, site in rows]


def _known_and_new(recipe: Recipe, out_of_fold: OutOfFold, own: Hits) -> dict[FoldBy, Hits]:
    """Hits with folds by image, at known sites, and by site, at new ones; what is known of them.

    Where the members are heads, the run's own hits are one of the two.
    """
    features = cached_features(recipe, out_of_fold.table["sha256"].to_list())
    is_head = recipe.train.epochs == 0
    hits: dict[FoldBy, Hits] = {out_of_fold.by: own} if is_head or features is None else {}
    if features is None:
        return hits
    kinds: tuple[FoldBy, ...] = ("image", "site")
    for by in kinds:
        groups = fold_groups(out_of_fold.table, by)
        # Groups that lie at several sites may join all of them: then no site can be left out.
        if by not in hits and groups.max() > 0:
            hits[by] = _head_hits(recipe, out_of_fold, features, groups)
    return hits


def _head_hits(
    recipe: Recipe, out_of_fold: OutOfFold, features: NDArray[np.float32], groups: Groups
) -> Hits:
    """Cross-validate heads with folds that leave out whole groups, at least two in all."""
    table, labels = out_of_fold.table, out_of_fold.labels
    n_folds = min(recipe.folds.n, len(np.unique(groups)))
    folds = assign_folds(table["path"], table["label"], groups, n_folds, recipe.folds.seed)
    hits = np.zeros(len(labels), np.bool_)
    for fold in np.unique(folds):
        is_val = folds == fold
        (weights, biases), _ = fit_layer(
            recipe, features[~is_val], labels[~is_val], folds[~is_val], len(out_of_fold.classes)
        )
        predicted = (features[is_val] @ weights.T + biases).argmax(axis=1)
        hits[is_val] = predicted == labels[is_val]
    return hits
