"""Claims to test: folds by site foretell the accuracy at new cameras, folds by image do not; and an
event's answer is right more often than an image's.

    python benchmarks/bench_places.py [--seeds 0 1 2] [--cameras 24]

On drawn camera traps (`bestiary sample --cameras`). A third of the cameras is set apart. Heads on
frozen features, as `probe` fits them, are cross-validated on the other cameras, with folds by image
and with folds by site. Then each member answers the images of the cameras set apart: the mean
accuracy of the members there is what a figure of new places should say. Events: the mean logits of
the members by site, one answer an image against one an event. No copies are drawn, so none are
sought.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.beasts.camera_sample import draw_cameras
from bestiary.data.events import join_events
from bestiary.data.folds import assign_folds, fold_groups
from bestiary.data.listing import list_labeled
from bestiary.data.manifest import read_manifest
from bestiary.display import Display
from bestiary.evaluation.events import event_numbers
from bestiary.numbers import percent, percent_range, points, points_range
from bestiary.recipe.choices import FoldBy
from bestiary.recipe.load import load_recipe
from bestiary.stats.events import event_scores
from bestiary.stats.intervals import ShareInterval, share_interval
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import frozen_features
from bestiary.training.head import fit_layer
from paired import machine

FOLDS = 5
KINDS: tuple[FoldBy, ...] = ("image", "site")
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


def read_cameras(table_file: Path) -> tuple[pl.DataFrame, TrainingSet, NDArray[np.float32]]:
    """The images of drawn cameras in their events, with their frozen features."""
    recipe = load_recipe("probe")
    manifest = read_manifest(list_labeled(table_file, recipe.data))
    table = join_events(manifest.table, recipe.data.event_seconds)
    folds = table.select("path").with_columns(fold=0)
    data = TrainingSet.of(recipe, table, table_file.parent, folds)
    return table, data, frozen_features(data, Display(quiet=True))


def run_seed(table: pl.DataFrame, data: TrainingSet, x: NDArray[np.float32], seed: int) -> None:
    """Compare the figures of both kinds of folds with the truth, and events with images."""
    y = data.labels
    sites = table["site"].unique().sort()
    apart = np.random.default_rng(seed).permutation(len(sites))[: len(sites) // 3]
    is_apart = table["site"].is_in(sites[np.sort(apart)].implode()).to_numpy()
    train = table.filter(~is_apart)
    own_x, own_y, new_x, new_y = x[~is_apart], y[~is_apart], x[is_apart], y[is_apart]
    print(
        f"seed {seed}: {len(own_y):,} images of {len(sites) - len(apart)} cameras, "
        f"{len(new_y):,} of {len(apart)} set apart"
    )
    members: dict[FoldBy, Floats] = {}
    for by in KINDS:
        groups = fold_groups(train, by)
        figure, members[by] = cross_validate(data, train, groups, own_x, own_y, new_x)
        hits = (members[by].argmax(axis=2) == new_y).mean(axis=0)
        truth = float(hits.mean())
        holds = "holds" if figure.low <= truth <= figure.high else "misses"
        print(
            f"  folds by {by}: {percent(figure.value)} "
            f"({percent_range(figure.low, figure.high)}), {points(figure.value - truth)} points "
            f"from {percent(truth)} at the cameras set apart, which its interval {holds}"
        )
    new_table = table.filter(is_apart)
    events = event_numbers(new_table)
    assert events is not None
    scores = event_scores(
        members["site"].mean(axis=0), new_y, events, fold_groups(new_table, "site")
    )
    gain = scores["gain"]
    print(
        f"  events: {percent(scores['images']['value'])} by image, with its event's answer "
        f"{points(gain['value'])} points ({points_range(gain['low'], gain['high'])}); by event "
        f"{percent(scores['events']['value'])}, n = {scores['n_events']} events"
    )


def cross_validate(
    data: TrainingSet,
    train: pl.DataFrame,
    groups: Numbers,
    x: NDArray[np.float32],
    y: Numbers,
    new_x: NDArray[np.float32],
) -> tuple[ShareInterval, Floats]:
    """Out-of-fold accuracy, and the logits of each member on new images."""
    classes = len(data.classes)
    folds = assign_folds(train["path"], train["label"], groups, FOLDS, 0)
    hits = np.zeros(len(y), np.bool_)
    members = np.empty((FOLDS, len(new_x), classes))
    for fold in range(FOLDS):
        is_val = folds == fold
        (weights, biases), _ = fit_layer(
            data.recipe, x[~is_val], y[~is_val], folds[~is_val], classes
        )
        hits[is_val] = (x[is_val] @ weights.T + biases).argmax(axis=1) == y[is_val]
        members[fold] = new_x @ weights.T + biases
    return share_interval(hits, groups), members


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cameras", type=int, default=24)
    parser.add_argument("--species", type=int, default=8)
    parser.add_argument("--per-species", type=int, default=60)
    options = parser.parse_args()
    print(machine())
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            drawn = draw_cameras(
                Path(folder) / "traps",
                options.cameras,
                species=options.species,
                per_species=options.per_species,
                seed=seed,
            )
            run_seed(*read_cameras(drawn.table), seed)


if __name__ == "__main__":
    main()
