"""Claims: the estimate of the ensemble's accuracy and the coverage of prediction sets hold.

    python benchmarks/honesty/promises.py DATA [--splits 25] [--share 0.2] [--folds 5]

Runs of the head alone: frozen features of the offline backbone once, then for each random split of
the images (near duplicates together) a linear discriminant for each fold, as in `fast`. For
each split it prints the out-of-fold accuracy, the estimate with the interval for as many images as
were held out, and the ensemble's accuracy on those.

The second table leaves the discriminant overconfident, without calibration inside the training
part: how far the cross-fitted temperature lowers its expected calibration error, the coverage of
the ensemble's prediction sets on held-out images, and the share called unknown. Last, five species
at a time are left out of training: how well energy separates them from held-out images of the
others.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bestiary.data.folds import assign_folds, leak_groups
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import Calibration
from bestiary.stats.crossfit import crossfit_probabilities
from bestiary.stats.ensemble_gain import ensemble_estimate
from bestiary.stats.intervals import effective_size
from bestiary.stats.metrics import reliability
from bestiary.stats.ood import OodDetector
from bestiary.training.dataset import TrainingSet
from bestiary.training.lda_head import Moments, lda_layer, tune_lda
from bestiary.training.prepare import begin_run

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.head import features_of
from harness.record import record, recording

CLAIMS = {
    "ensemble-estimate": {
        "statement": "The ensemble's accuracy on new images lies inside the interval told before",
        "unit": "of the splits covered",
        "watches": (
            "src/bestiary/stats/ensemble_gain.py",
            "src/bestiary/stats/intervals.py",
        ),
    },
    "calibration-error": {
        "statement": "The cross-fitted temperature lowers the calibration error",
        "unit": "calibration error",
        "watches": (
            "src/bestiary/stats/calibration.py",
            "src/bestiary/stats/crossfit.py",
        ),
    },
    "sets-on-new-images": {
        "statement": "Sets of 90 % hold the truth of new images",
        "unit": "of the images covered",
        "bar": ("least", 0.9, "what was asked for"),
        "watches": ("src/bestiary/stats/calibration.py",),
    },
    "known-called-unknown": {
        "statement": "Few images of known classes are called unknown",
        "unit": "of the known images",
        "watches": ("src/bestiary/stats/ood.py",),
    },
    "unknown-species": {
        "statement": "Images of species that were not trained on are told from known ones",
        "unit": "AUROC",
        "watches": ("src/bestiary/stats/ood.py",),
    },
}
COMMANDS = ("{data}",)


Floats = NDArray[np.float64]


def read(data: Path) -> tuple[TrainingSet, NDArray[np.int64]]:
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run")
        begin_run(data, run, load_recipe("fast"), None, Display(quiet=True))
        table = run.read_table("manifest.parquet")
        training = TrainingSet.of(
            load_recipe("fast"), table, run.read_root(), run.read_table("folds.parquet")
        )
        return training, leak_groups(table)


def probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    new: NDArray[np.float32],
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Fit a head for each fold.

    Returns:
        Out-of-fold logits (images, classes), and every member's for `new` (members, images,
        classes); first as in `fast`, then overconfident, without the scale of log posteriors.
    """
    classes = int(labels.max()) + 1
    oof = np.empty((len(labels), classes))
    factors = np.empty((len(labels), 1))
    members = []
    for fold in np.unique(folds):
        part = folds != fold
        of = features[part], labels[part], classes
        shape = tune_lda(*of, head_tau_norm=True)
        weights, biases = lda_layer(Moments.of(*of), replace(shape, logit_scale=1.0))
        oof[~part] = features[~part] @ weights.T + biases
        factors[~part] = shape.logit_scale
        members.append((new @ weights.T + biases, shape.logit_scale))
    sharp = np.stack([logits for logits, _ in members])
    return (oof * factors, np.stack([logits * logit_scale for logits, logit_scale in members])), (
        oof,
        sharp,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=int, default=25)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    data, groups = read(args.data)
    features = features_of(data, "bilinear")
    labels = data.labels
    names = data.paths
    intervals_that_hold = 0
    rows = []
    for split in range(args.splits):
        held_out = keyed_rng(split, "promises").random(int(groups.max()) + 1)[groups] < args.share
        folds = assign_folds(
            names.filter(~held_out),
            pl.Series(labels[~held_out]),
            groups[~held_out],
            args.folds,
            split,
        )
        heads = probe(features[~held_out], labels[~held_out], folds, features[held_out])
        (oof, new), (sharp_oof, sharp_new) = heads
        hits = oof.argmax(axis=1) == labels[~held_out]
        estimate = ensemble_estimate(hits, groups[~held_out], args.folds)
        right = new.mean(axis=0).argmax(axis=1) == labels[held_out]
        single = float(np.mean(new.argmax(axis=2) == labels[held_out]))
        low, high = estimate.accuracy_interval(effective_size(right, groups[held_out]))
        holds = low <= right.mean() <= high
        intervals_that_hold += holds
        calibration = Calibration.fit(sharp_oof, labels[~held_out])
        crossfitted = crossfit_probabilities(sharp_oof, labels[~held_out], folds)
        probabilities = calibration.probabilities(sharp_new, "logits")
        sets = calibration.set_mask(probabilities, 0.9)
        rows.append(
            {
                "oof": hits.mean(),
                "estimate": estimate.value,
                "members": single,
                "ensemble": right.mean(),
                "ece before": reliability(softmax(sharp_oof).max(axis=1), hits).ece,
                "ece after": reliability(
                    crossfitted.max(axis=1), sharp_oof.argmax(axis=1) == labels[~held_out]
                ).ece,
                "ece ensemble": reliability(probabilities.max(axis=1), right).ece,
                "empirical_coverage": sets[np.arange(len(sets)), labels[held_out]].mean(),
                "size": sets.sum(axis=1).mean(),
                "unknown": OodDetector.fit(oof, labels[~held_out], folds).is_unknown(new).mean(),
            }
        )
        print(
            f"split {split}: out of fold {hits.mean():.4f}, estimate {estimate.value:.4f} "
            f"[{estimate.low:.4f}, "
            f"{estimate.high:.4f}], for {held_out.sum()} images [{low:.4f}, {high:.4f}]; held out: "
            f"mean member "
            f"{single:.4f}, ensemble {right.mean():.4f} {'holds' if holds else 'DOES NOT HOLD'}"
        )
    print(f"{intervals_that_hold} of {args.splits} splits hold")
    table = pl.DataFrame(rows)
    record_splits(table, intervals_that_hold, args)
    for name in table.columns:
        print(
            f"{name}: mean {table[name].mean():.4f}, {table[name].min():.4f} to "
            f"{table[name].max():.4f}"
        )
    unknown_species(features, labels, groups, names, args)


ERRORS = (
    "as sure as they come, out of fold",
    "cross-fitted temperature, out of fold",
    "the ensemble, on new images",
)


def record_splits(table: pl.DataFrame, held: int, args: argparse.Namespace) -> None:
    def each(*names: str) -> dict[str, list[float]]:
        return {name: table[name].to_list() for name in names}

    n = args.splits
    shared = {"data": args.data}
    accuracies = {"accuracy": each("oof", "estimate", "members", "ensemble")}
    record("ensemble-estimate", held / n, n, "splits", details=accuracies, **shared)
    errors = dict(
        zip(ERRORS, each("ece before", "ece after", "ece ensemble").values(), strict=True)
    )
    record("calibration-error", errors, n, "splits", **shared)
    sizes = {"classes in a set": table["size"].mean()}
    coverage = table["empirical_coverage"].mean()
    record("sets-on-new-images", coverage, n, "splits", details=sizes, **shared)
    record("known-called-unknown", table["unknown"].mean(), n, "splits", **shared)


def unknown_species(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: pl.Series,
    args: argparse.Namespace,
) -> None:
    count = args.folds
    classes = int(labels.max()) + 1
    areas_by_score: dict[str, list[float]] = {"energy": [], "distance": []}
    for seed in range(8):
        is_unknown_species = np.isin(
            labels, keyed_rng(seed, "strange").choice(classes, 5, replace=False)
        )
        held_out = ~is_unknown_species & (
            keyed_rng(seed, "promises").random(int(groups.max()) + 1)[groups] < 0.2
        )
        training = ~is_unknown_species & ~held_out
        _, own = np.unique(labels[training], return_inverse=True)
        folds = assign_folds(names.filter(training), pl.Series(own), groups[training], count, seed)
        (oof, new), _ = probe(
            features[training], own, folds, features[is_unknown_species | held_out]
        )
        for name, score in zip(
            areas_by_score, OodDetector.fit(oof, own, folds).scores(new), strict=True
        ):
            areas_by_score[name].append(
                roc_auc_score(is_unknown_species[is_unknown_species | held_out], score)
            )
    record("unknown-species", areas_by_score, 8, "draws of species", data=args.data)
    for name, areas in areas_by_score.items():
        print(
            f"unknown species, {name}: AUROC mean {np.mean(areas):.3f}, {min(areas):.3f} to "
            f"{max(areas):.3f} (8 draws)"
        )


if __name__ == "__main__":
    recording(main, __file__)
