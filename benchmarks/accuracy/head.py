"""Claim: a linear discriminant is a better start for the head than logistic regression.

Its shrinkage hardly matters.

    python benchmarks/accuracy/head.py DATA

Frozen features of the offline backbone (224 pixels, squashed, averaged with the mirror image),
enlarged bilinearly and bicubically; bestiary's five folds, near duplicates in one fold; out-of-fold
accuracy for each way to fit the head.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bestiary.data.decode import decode, read_image
from bestiary.data.eval_view import EvalView
from bestiary.data.loader import loader_threads, stream_views
from bestiary.display import Display
from bestiary.model.classifier import build_classifier
from bestiary.model.compute import best_precision
from bestiary.model.device import best_device
from bestiary.model.engine import build_network
from bestiary.model.tta import averaged_over_views
from bestiary.recipe.choices import Interpolation
from bestiary.recipe.load import load_recipe
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet
from bestiary.training.lda_head import SHRINKAGES, LdaParams, Moments, lda_layer, tune_lda
from bestiary.training.prepare import begin_run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "heads-on-features": {
        "statement": "A discriminant on frozen features is as good as logistic regression",
        "unit": "accuracy",
        "watches": ("@heads",),
    },
}
COMMANDS = ("{data}",)


def features_of(data: TrainingSet, interpolation: Interpolation) -> NDArray[np.float32]:
    classifier = build_classifier("offline/efficientnet_lite0", len(data.classes)).eval()
    device = best_device()
    view = EvalView(224, "squash", 1.0, interpolation)
    rows = np.arange(len(data.paths))
    views = stream_views(
        rows,
        32,
        lambda row: view(decode(read_image(data.root / data.paths[int(row)]))),
        loader_threads("cpu"),
    )
    precision = best_precision(device)
    network = build_network(
        classifier.to(device), view.size, device, precision, engine="torch", output="features"
    )
    run = averaged_over_views(network, 2)
    return np.concatenate([run(batch) for batch in views])


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run")
        begin_run(Path(sys.argv[1]), run, load_recipe("fast"), None, Display(quiet=True))
        tables = (
            run.read_table("manifest.parquet"),
            run.read_root(),
            run.read_table("folds.parquet"),
        )
        data = TrainingSet.of(load_recipe("fast"), *tables)
    classes = len(data.classes)
    print(
        f"{len(data.paths):,} images of {classes} classes, five folds, "
        f"{best_precision(best_device())}"
    )
    found: dict[str, dict[str, list[float]]] = {"bilinear": {}, "bicubic": {}}
    for interpolation, of in found.items():
        features = features_of(data, interpolation)
        for shape in (*map(LdaParams, SHRINKAGES), None, "tau"):
            hits = []
            for train, held_out in map(data.rows, range(5)):
                train_part = features[train], data.labels[train], classes
                chosen = (
                    shape
                    if isinstance(shape, LdaParams)
                    else tune_lda(*train_part, head_tau_norm=shape == "tau")
                )
                weights, biases = lda_layer(Moments.of(*train_part), chosen)
                hits.append(
                    (features[held_out] @ weights.T + biases).argmax(axis=1)
                    == data.labels[held_out]
                )
            name = (
                shape.shrinkage
                if isinstance(shape, LdaParams)
                else f"{'and tau ' if shape else ''}chosen inside"
            )
            name = f"discriminant, shrinkage {name}"
            of[name] = report(f"{interpolation}, {name}", hits)
        for strength in (0.01, 0.03, 0.1, 0.3, 1.0):
            hits = []
            for train, held_out in map(data.rows, range(5)):
                fitted = LogisticRegression(C=strength, max_iter=300).fit(
                    features[train], data.labels[train]
                )
                hits.append(fitted.predict(features[held_out]) == data.labels[held_out])
            name = f"logistic regression, C {strength}"
            of[name] = report(f"{interpolation}, {name}", hits)
    for interpolation, of in found.items():
        record("heads-on-features", of, 5, "folds", case=interpolation, data=Path(sys.argv[1]))


def report(name: str, hits: list[NDArray[np.bool_]]) -> list[float]:
    """Print the accuracy; return that of each fold."""
    folds = [float(fold.mean()) for fold in hits]
    print(f"{name}: {np.concatenate(hits).mean():.4f}, folds {min(folds):.4f} to {max(folds):.4f}")
    return folds


if __name__ == "__main__":
    recording(main, __file__)
