"""Claims: the estimate of the ensemble's accuracy holds what held-out images show; sets keep their
word.

    python benchmarks/bench_promises.py DATA [--splits 25] [--share 0.2] [--folds 5]

Runs of the head alone: frozen features of the offline backbone once, then for each random split of
the images (copies together) a linear discriminant for each fold, as `fast` begins. Of each split it
prints the out-of-fold accuracy, the estimate with the interval for as many images as were held out,
and what the ensemble gets right of those. In the second table the discriminant is left as sure of
itself as it comes, with no calibration inside the training part: how far its expected calibration
error falls by the cross-fitted temperature; then what share of the held-out images the ensemble's
sets hold, and what share of them is called unknown. Last, five species at a time are kept from
training: how well energy tells them from held-out images of the known ones.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bench_head import features_of
from bestiary.data.folds import deal, leak_groups
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import Calibration
from bestiary.stats.ensemble_gain import ensemble_estimate
from bestiary.stats.intervals import effective_size
from bestiary.stats.metrics import reliability
from bestiary.stats.ood import OodDetector
from bestiary.stats.scores import crossfit_probabilities
from bestiary.training.dataset import TrainingSet
from bestiary.training.lda_head import Moments, choose_shape, discriminant
from bestiary.training.prepare import begin_run

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
    """Out-of-fold logits (images, classes) and those of every member for `new` (members, images,
    classes).

    First as `fast` begins, then without the factor that makes them log posteriors: as sure as they
    come.
    """
    classes = int(labels.max()) + 1
    oof, factors, members = np.empty((len(labels), classes)), np.empty((len(labels), 1)), []
    for fold in np.unique(folds):
        part = folds != fold
        of = features[part], labels[part], classes
        shape = choose_shape(*of, head_tau_norm=True)
        weights, biases = discriminant(Moments.of(*of), replace(shape, factor=1.0))
        oof[~part], factors[~part] = features[~part] @ weights.T + biases, shape.factor
        members.append((new @ weights.T + biases, shape.factor))
    sharp = np.stack([logits for logits, _ in members])
    return (oof * factors, np.stack([logits * factor for logits, factor in members])), (oof, sharp)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=int, default=25)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--folds", type=int, default=5)
    asked = parser.parse_args()
    data, groups = read(asked.data)
    features, labels = features_of(data, "bilinear"), data.labels
    names = data.paths
    held_in, rows = 0, []
    for split in range(asked.splits):
        aside = keyed_rng(split, "promises").random(int(groups.max()) + 1)[groups] < asked.share
        folds = deal(
            names.filter(~aside), pl.Series(labels[~aside]), groups[~aside], asked.folds, split
        )
        both = probe(features[~aside], labels[~aside], folds, features[aside])
        (oof, new), (sure_oof, sure_new) = both
        hits = oof.argmax(axis=1) == labels[~aside]
        estimate = ensemble_estimate(hits, groups[~aside], asked.folds)
        right = new.mean(axis=0).argmax(axis=1) == labels[aside]
        single = float(np.mean(new.argmax(axis=2) == labels[aside]))
        low, high = estimate.on(effective_size(right, groups[aside]))
        holds = low <= right.mean() <= high
        held_in += holds
        known = Calibration.fit(sure_oof, labels[~aside])
        crossed = crossfit_probabilities(sure_oof, labels[~aside], folds)
        probabilities = known.probabilities(sure_new, "logits")
        sets = known.set_of(probabilities, 0.9)
        rows.append(
            {
                "oof": hits.mean(),
                "estimate": estimate.value,
                "members": single,
                "ensemble": right.mean(),
                "ece before": reliability(softmax(sure_oof).max(axis=1), hits).ece,
                "ece after": reliability(
                    crossed.max(axis=1), sure_oof.argmax(axis=1) == labels[~aside]
                ).ece,
                "ece ensemble": reliability(probabilities.max(axis=1), right).ece,
                "empirical_coverage": sets[np.arange(len(sets)), labels[aside]].mean(),
                "size": sets.sum(axis=1).mean(),
                "unknown": OodDetector.fit(oof, labels[~aside], folds).is_unknown(new).mean(),
            }
        )
        print(
            f"split {split}: out of fold {hits.mean():.4f}, estimate {estimate.value:.4f} "
            f"[{estimate.low:.4f}, "
            f"{estimate.high:.4f}], for {aside.sum()} images [{low:.4f}, {high:.4f}]; held out: "
            f"mean member "
            f"{single:.4f}, ensemble {right.mean():.4f} {'holds' if holds else 'DOES NOT HOLD'}"
        )
    print(f"{held_in} of {asked.splits} splits hold")
    table = pl.DataFrame(rows)
    for name in table.columns:
        print(
            f"{name}: mean {table[name].mean():.4f}, {table[name].min():.4f} to "
            f"{table[name].max():.4f}"
        )
    unknown_species(features, labels, groups, names, asked.folds)


def unknown_species(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: pl.Series,
    count: int,
) -> None:
    classes = int(labels.max()) + 1
    found: dict[str, list[float]] = {"energy": [], "distance": []}
    for seed in range(8):
        strange = np.isin(labels, keyed_rng(seed, "strange").choice(classes, 5, replace=False))
        aside = ~strange & (keyed_rng(seed, "promises").random(int(groups.max()) + 1)[groups] < 0.2)
        training = ~strange & ~aside
        _, own = np.unique(labels[training], return_inverse=True)
        folds = deal(names.filter(training), pl.Series(own), groups[training], count, seed)
        (oof, new), _ = probe(features[training], own, folds, features[strange | aside])
        for name, score in zip(found, OodDetector.fit(oof, own, folds).scores(new), strict=True):
            found[name].append(roc_auc_score(strange[strange | aside], score))
    for name, areas in found.items():
        print(
            f"unknown species, {name}: AUROC mean {np.mean(areas):.3f}, {min(areas):.3f} to "
            f"{max(areas):.3f} (8 draws)"
        )


if __name__ == "__main__":
    main()
