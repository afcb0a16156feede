"""Claim to test: unlabeled images raise the accuracy of heads on frozen features.

    python benchmarks/accuracy/self_training.py DATA [--set data.layout=...] [--seeds 0 1 2]

Without DATA, on drawn beasts (20 species of 50 images). A fifth of the images, whole groups,
judges; a tenth of the rest keeps its labels, and the others are unlabeled. Five folds of the
labeled images; each member learns from its training part and from the unlabeled images, whose
labels only that part's heads guess. Two ways: soft pseudo-labels, as `train --unlabeled` does; and
label spreading on the graph of nearest neighbors (Zhou et al. 2004), whose answers a discriminant
then learns. The mean member is compared with that of `probe`'s heads.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.semi_supervised import LabelSpreading

from bestiary.beasts.sample import draw_sample
from bestiary.data.folds import assign_folds
from bestiary.recipe.load import load_recipe
from bestiary.training.head import fit_layer
from bestiary.training.lda_head import Layer, LdaParams, finite, lda_layer
from bestiary.training.self_training import SHRINKAGE, TAU, soft_moments

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.frozen import features_of, read_data
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "self-training": {
        "statement": "Heads that learn from unlabeled images too are more often right",
        "unit": "difference of accuracy",
        "bar": ("least", 0.0, "more than labels alone"),
        "watches": (
            "src/bestiary/training/self_training.py",
            "src/bestiary/training/unlabeled.py",
        ),
    },
}
COMMANDS = (
    "",
    "{data}",
)


FOLDS = 5
NEIGHBORS = 10
Features = NDArray[np.float32]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def logits_of(layer: Layer, x: Features) -> Floats:
    weights, biases = layer
    return np.asarray(x @ weights.T + biases)


def spread_labels(x: Features, y: Numbers, unlabeled: Features, classes: int) -> Layer:
    everything = np.concatenate([x, unlabeled]).astype(np.float64)
    unit = everything - everything.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    given = np.concatenate([y, np.full(len(unlabeled), -1)])
    model = LabelSpreading(kernel="knn", n_neighbors=NEIGHBORS, alpha=0.5, max_iter=100)
    model.fit(unit, given)
    shares = np.zeros((len(everything), classes))
    shares[:, model.classes_] = np.nan_to_num(model.label_distributions_)
    weights, biases = lda_layer(soft_moments(everything, shares), LdaParams(SHRINKAGE, TAU))
    return weights, finite(biases)


WAYS = ("soft pseudo-labels", "label spreading")


def split_off(groups: Numbers, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose a share of the groups at random."""
    _, codes = np.unique(groups, return_inverse=True)
    is_chosen = rng.random(codes.max() + 1) < share
    return np.asarray(is_chosen[codes])


def run_seed(
    x: Features, y: Numbers, groups: Numbers, seed: int
) -> tuple[dict[str, Floats], Numbers]:
    """Mean member's hits on the images that judge, by way; and their groups."""
    rng = np.random.default_rng(seed)
    classes = int(y.max()) + 1
    judges = split_off(groups, 0.2, rng)
    labeled = np.zeros(len(y), np.bool_)
    for label in range(classes):  # at least two of each class
        rows = rng.permutation(np.flatnonzero((y == label) & ~judges))
        labeled[rows[: max(2, round(len(rows) / 10))]] = True
    unlabeled = x[~labeled & ~judges & ~np.isin(groups, groups[labeled])]
    own_x, own_y = x[labeled], y[labeled]
    names = pl.Series([f"{row:06}" for row in np.flatnonzero(labeled)])
    folds = assign_folds(names, pl.Series(own_y.astype(str)), groups[labeled], FOLDS, seed)
    recipe = load_recipe("probe")
    refused = 0
    hits: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in ("labels alone", *WAYS)}
    for fold in range(FOLDS):
        rest = folds != fold
        part = own_x[rest], own_y[rest]
        start, _ = fit_layer(recipe, *part, folds[rest], classes)
        learned, choice = fit_layer(recipe, *part, folds[rest], classes, unlabeled)
        assert choice
        refused += choice.refused > 0
        layers = {
            "labels alone": start,
            "soft pseudo-labels": learned,
            "label spreading": spread_labels(*part, unlabeled, classes),
        }
        for name, layer in layers.items():
            hits[name].append(logits_of(layer, x[judges]).argmax(axis=1) == y[judges])
    print(f"{refused} of {FOLDS} folds refused the unlabeled images")
    return {name: np.mean(members, axis=0) for name, members in hits.items()}, groups[judges]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.data or Path(scratch) / "beasts"
        if arguments.data is None:
            draw_sample(source, species=20, per_species=50)
        data, groups = read_data(source, "probe", arguments.overrides)
        x = features_of(data)
    print(machine())
    print(f"{len(x):,} images of {len(data.classes)} classes")
    changes: dict[str, list[Floats]] = {name: [] for name in WAYS}
    judged = []
    accuracies: dict[str, list[float]] = {name: [] for name in ("labels alone", *WAYS)}
    for seed in arguments.seeds:
        means, of_judges = run_seed(x, data.labels, groups, seed)
        judged.append(of_judges)
        print(f"seed {seed}: " + ", ".join(f"{k} {v.mean():.4f}" for k, v in means.items()))
        for name, of in accuracies.items():
            of.append(float(means[name].mean()))
        for name in WAYS:
            changes[name].append(means[name] - means["labels alone"])
    _, codes = np.unique(np.concatenate(judged), return_inverse=True)
    gains = {}
    for name, parts in changes.items():
        change = np.concatenate(parts)
        error = np.sqrt(np.square(np.bincount(codes, change - change.mean())).sum()) / len(change)
        low, high = change.mean() - 1.96 * error, change.mean() + 1.96 * error
        print(f"{name} minus labels alone: {change.mean():+.4f} [{low:+.4f}, {high:+.4f}]")
        gains[name] = (change.mean(), low, high)
    name, other = WAYS
    record(
        "self-training",
        {name: gains[name]},
        len(arguments.seeds),
        "seeds",
        case=arguments.data.name if arguments.data else "drawn beasts",
        spread="95 % interval over images",
        details={"difference, other way": {other: gains[other]}, "accuracy": accuracies},
        data=arguments.data or ("drawn beasts", 1000),
    )


if __name__ == "__main__":
    recording(main, __file__)
