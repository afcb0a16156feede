"""Question: would nearest neighbors or ViM tell left-out classes better than a run's scores do?

    python benchmarks/honesty/left_out_neighbors.py RUN ...

As honesty/left_out.py, each class and each group of look-alikes is left out in turn, with heads on
cached features. Compared with the scores of a run:

- neighbors, features: distance to the k-th nearest known image, of features of unit length (Sun et
  al. 2022, arXiv:2204.06507).
- neighbors, logits: the same of logits, which a run could score without features.
- ViM: the part of the features outside of their main directions, and energy (Wang et al. 2022,
  arXiv:2203.10807), both divided by their spread.

The known images that are compared with are of the other cross-fitting parts. "Taken" is the AUROC
of what the other sets choose: among the scores of a run, and with one more to choose from.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bestiary.evaluation import left_out_classes
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.run import Run
from bestiary.stats.crossfit import crossfit_parts
from bestiary.stats.left_out import MIN_GAIN
from bestiary.stats.metrics import confusion as confusion_matrix
from bestiary.stats.ood import crossfit_scores, score_weights
from bestiary.stats.vectors import main_directions
from bestiary.training.frozen_features import cached_features
from bestiary.training.lda_head import tune_lda

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "left-out-neighbors": {
        "statement": "What nearest neighbors and ViM tell of left-out classes",
        "unit": "AUROC",
        "watches": ("src/bestiary/stats/ood.py", "src/bestiary/stats/left_out.py"),
    },
}

NEAREST = 5
MAIN = 0.5  # share of the directions that are main ones, for ViM
OWN = ("energy", "distance", "both")
MORE = ("neighbors, features", "neighbors, logits", "ViM")

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def main() -> None:
    for place in sys.argv[1:]:
        areas = areas_of(Run.open(place))
        means = {name: float(values.mean()) for name, values in areas.items()}
        sets = len(areas["energy"])
        taken = {"scores of a run": taken_area(areas, OWN)}
        for name in MORE:
            taken[f"and {name}"] = taken_area(areas, (*OWN, name))
        taken["and neighbors, both"] = taken_area(areas, (*OWN, *MORE[:2]))
        print(f"{place}: {sets} sets, {means}; taken {taken}", flush=True)
        record(
            "left-out-neighbors",
            means,
            sets,
            "left-out sets",
            case=Path(place).name,
            details={"AUROC of the one taken, among": taken},
        )


def areas_of(run: Run) -> dict[str, Floats]:
    """Score -> AUROC of each left-out set (sets,)."""
    snapshot = run.load()
    images = read_out_of_fold(snapshot).without_conflicts()
    features = cached_features(snapshot.recipe, images.table["sha256"].to_list())
    assert features is not None, "probe the images here first"
    labels, classes = images.labels, len(images.classes)
    parts = crossfit_parts(images.folds, images.groups)
    confusion = confusion_matrix(images.logits.argmax(axis=1), labels, classes)
    projected = main_directions(features, left_out_classes.DIMENSIONS)
    is_fitted = parts != parts[0]
    params = tune_lda(projected[is_fitted], labels[is_fitted], classes, True)
    moments = left_out_classes.part_moments(projected, labels, parts, classes)
    areas: dict[str, list[float]] = {}
    for left_out in left_out_classes._sets(confusion):
        is_known = ~np.isin(labels, left_out)
        kept, codes = np.unique(labels[is_known], return_inverse=True)
        if len(kept) < 2 or is_known.all():
            continue
        known = np.full(len(labels), -1)
        known[is_known] = codes
        logits = left_out_classes.cross_fitted_without(
            left_out, projected, labels, parts, moments, params
        )
        own = crossfit_scores(logits, known, parts, parts)
        scores = {name: own @ weights for name, weights in score_weights(own[is_known]).items()}
        scores["neighbors, features"] = neighbors(projected, known, parts)
        scores["neighbors, logits"] = neighbors(logits, known, parts)
        scores["ViM"] = virtual_logit(projected, own[:, 0], known, parts)
        for name, values in scores.items():
            areas.setdefault(name, []).append(area(values[is_known], values[~is_known]))
    return {name: np.array(values) for name, values in areas.items()}


def neighbors(vectors: NDArray[np.floating], known: Labels, parts: Labels) -> Floats:
    """Distance of each image to its k-th nearest known one of the other parts (images,)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.maximum(lengths, 1e-12)
    alike = units @ units.T
    alike[:, known < 0] = -np.inf
    alike[parts[:, None] == parts] = -np.inf
    return np.asarray(-np.partition(alike, -NEAREST, axis=1)[:, -NEAREST], np.float64)


def virtual_logit(
    vectors: NDArray[np.floating], energies: Floats, known: Labels, parts: Labels
) -> Floats:
    """Length outside of the main directions of the other parts, and energy (images,)."""
    lengths = np.empty(len(vectors))
    for part in np.unique(parts):
        fitted = vectors[(parts != part) & (known >= 0)].astype(np.float64)
        center = fitted.mean(axis=0)
        _, directions = np.linalg.eigh((fitted - center).T @ (fitted - center))
        minor = directions[:, : round((1 - MAIN) * directions.shape[1])]
        lengths[parts == part] = np.linalg.norm((vectors[parts == part] - center) @ minor, axis=1)
    is_known = known >= 0
    return lengths / lengths[is_known].std() + energies / energies[is_known].std()


def area(known: Floats, unknown: Floats) -> float:
    ranks = rankdata(np.concatenate([unknown, known]))[: len(unknown)]
    wins = ranks.sum() - len(unknown) * (len(unknown) + 1) / 2
    return float(wins / (len(unknown) * len(known)))


def taken_area(areas: dict[str, Floats], names: tuple[str, ...]) -> float:
    """Mean AUROC of each set by the score that the other sets choose, as a run chooses."""
    table = np.stack([areas[name] for name in names])
    found = []
    for one in range(table.shape[1]):
        means = np.delete(table, one, axis=1).mean(axis=1)
        best = int(means.argmax())
        found.append(table[best if means[best] >= means[0] + MIN_GAIN else 0, one])
    return float(np.mean(found))


if __name__ == "__main__":
    recording(main, __file__)
