"""Claims to test: folds by site foretell the accuracy at new cameras, folds by image do not; and an
event's answer is right more often than an image's.

    python benchmarks/honesty/places.py [--seeds 0 1 2] [--cameras 24]

On drawn camera traps (`bestiary sample --cameras`). Five times a third of the cameras is set apart.
Heads on frozen features, as `probe` fits them, are cross-validated on the other cameras, with folds
by image and with folds by site. Then each member answers the images of the cameras set apart: the
mean accuracy of the members there is what a figure of new places should say. Events: the mean
logits of the members by site, one answer an image against one an event. No copies are drawn, so
none are sought.
"""

import argparse
import sys
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
from bestiary.numbers import percent, points, points_range
from bestiary.recipe.choices import FoldBy
from bestiary.recipe.load import load_recipe
from bestiary.stats.events import event_scores
from bestiary.stats.intervals import ShareInterval, share_interval
from bestiary.training.dataset import TrainingSet
from bestiary.training.frozen_features import frozen_features
from bestiary.training.head import fit_layer

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "places-figure": {
        "statement": "Folds by site tell the accuracy at new cameras",
        "unit": "points, told less true",
        "watches": ("src/bestiary/data/folds.py",),
    },
    "events-gain": {
        "statement": "An event's answer is right more often than an image's",
        "unit": "points",
        "watches": ("src/bestiary/stats/events.py",),
    },
}
COMMANDS = ("",)


FOLDS = 5
SPLITS = 5  # of the cameras, a seed
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
    errors: dict[FoldBy, list[float]] = {"image": [], "site": []}
    figures: dict[FoldBy, list[float]] = {"image": [], "site": []}
    truths: dict[FoldBy, list[float]] = {"image": [], "site": []}
    holds = {"image": 0, "site": 0}
    logits = np.zeros((table.height, len(data.classes)))
    times = np.zeros(table.height)
    sites = table["site"].unique().sort()
    for split in range(SPLITS):
        order = np.random.default_rng([seed, split]).permutation(len(sites))
        apart = sites[np.sort(order[: len(sites) // 3])]
        is_apart = table["site"].is_in(apart.implode()).to_numpy()
        for by in KINDS:
            figure, members = cross_validate(data, table, x, is_apart, by)
            truth = float((members.argmax(axis=2) == data.labels[is_apart]).mean())
            figures[by].append(figure.value)
            truths[by].append(truth)
            errors[by].append(figure.value - truth)
            holds[by] += figure.low <= truth <= figure.high
        logits[is_apart] += members.mean(axis=0)
        times[is_apart] += 1
    print(f"seed {seed}: {table.height:,} images of {len(sites)} cameras, {SPLITS} splits")
    details = {
        "accuracy told": {f"folds by {by}": figures[by] for by in KINDS},
        "accuracy there": {f"folds by {by}": truths[by] for by in KINDS},
        f"intervals of {SPLITS} that hold": {f"folds by {by}": holds[by] for by in KINDS},
    }
    record(
        "places-figure",
        {f"folds by {by}": in_points(errors[by]) for by in KINDS},
        SPLITS,
        "splits of the cameras",
        case=f"seed {seed}",
        spread="mean, least to most",
        details=details,
        data=("drawn camera traps", table.height),
    )
    for by in KINDS:
        print(
            f"  folds by {by}: {percent(float(np.mean(figures[by])))} told, "
            f"{percent(float(np.mean(truths[by])))} at the cameras set apart: off by "
            f"{points(float(np.mean(errors[by])))} points (of one split "
            f"{points_range(min(errors[by]), max(errors[by]))}); its interval holds that in "
            f"{holds[by]} of {SPLITS}"
        )
    was_apart = times > 0
    compare_events(table.filter(was_apart), data.labels[was_apart], logits[was_apart], seed)


def in_points(errors: list[float]) -> tuple[float, float, float]:
    """Mean, least and most in percentage points."""
    return 100 * float(np.mean(errors)), 100 * min(errors), 100 * max(errors)


def compare_events(table: pl.DataFrame, labels: Numbers, logits: Floats, seed: int) -> None:
    """Answers by event against answers by image, of members that have not seen the cameras."""
    events = event_numbers(table)
    assert events is not None
    scores = event_scores(logits, labels, events, fold_groups(table, "site"))
    gain = scores["gain"]
    record(
        "events-gain",
        tuple(100 * gain[name] for name in ("value", "low", "high")),
        scores["n_events"],
        "events",
        case=f"seed {seed}",
        spread="95 % interval",
        details={
            "accuracy": {"images": scores["images"]["value"], "events": scores["events"]["value"]}
        },
        data=("drawn camera traps", table.height),
    )
    print(
        f"  events: {percent(scores['images']['value'])} by image, with its event's answer "
        f"{points(gain['value'])} points ({points_range(gain['low'], gain['high'])}); by event "
        f"{percent(scores['events']['value'])}, n = {scores['n_events']} events"
    )


def cross_validate(
    data: TrainingSet,
    table: pl.DataFrame,
    features: NDArray[np.float32],
    is_apart: NDArray[np.bool_],
    by: FoldBy,
) -> tuple[ShareInterval, Floats]:
    """Out-of-fold accuracy at the other cameras, and each member's logits at those set apart."""
    classes = len(data.classes)
    train = table.filter(~is_apart)
    x, y = features[~is_apart], data.labels[~is_apart]
    groups = fold_groups(train, by)
    folds = assign_folds(train["path"], train["label"], groups, FOLDS, 0)
    hits = np.zeros(len(y), np.bool_)
    members = np.empty((FOLDS, int(is_apart.sum()), classes))
    for fold in range(FOLDS):
        is_val = folds == fold
        (weights, biases), _ = fit_layer(
            data.recipe, x[~is_val], y[~is_val], folds[~is_val], classes
        )
        hits[is_val] = (x[is_val] @ weights.T + biases).argmax(axis=1) == y[is_val]
        members[fold] = features[is_apart] @ weights.T + biases
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
    recording(main, __file__)
