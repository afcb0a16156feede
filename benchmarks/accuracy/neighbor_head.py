"""Claim: nearest neighbors are no better a head of frozen features than the heads that compete.

    python benchmarks/accuracy/neighbor_head.py [DATA] [--set data.layout=...] [--seeds 3]

Without DATA, on drawn beasts. Draws 5, 10 and 20 images a class, each at several seeds, with five
folds each; then the same where kinds are merged by threes, so that a class is of several unlike
kinds, as suits neighbors best. Three kinds of neighbors: the ten nearest by cosine, which vote by
likeness; a kernel over all images, which is two linear layers with an exponential between them; and
the same in the metric of a discriminant. Their widths are tuned inside each training part. Each is
judged there against the head that `probe` chooses, by the same rule: another head has to be better
by a standard error. Images that no draw saw judge the members.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import log_softmax

from bestiary.beasts.sample import draw_sample
from bestiary.data.folds import assign_folds
from bestiary.training.head_choice import choose_head
from bestiary.training.lda_head import DEFAULT_SHRINKAGE, Moments, fit_logit_scale

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.tiny_data import Used, interval
from harness.frozen import FOLDS, features_of, read_data
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "neighbor-heads": {
        "statement": "Nearest neighbors are no better a head than those that compete",
        "unit": "difference of accuracy to the chosen head",
        "watches": ("src/bestiary/training/head_choice.py",),
    },
}
COMMANDS = ("", "{data}")
NEIGHBORS = 10
WIDTHS = (0.02, 0.05, 0.1, 0.2)  # of the kernel, in cosines
MERGED = 3  # kinds that make up one class of the second task
Features = NDArray[np.float32]
Numbers = NDArray[np.int64]
Logits = NDArray[np.float64]
Head = Callable[[Features, Numbers, Features, int], list[Logits]]


def votes(x: Features, y: Numbers, new: Features, classes: int, nearest: int) -> list[Logits]:
    """Logarithms of the kernel's sum over the nearest images of each class, at each width."""
    center = x.mean(axis=0)
    near, far = (one - center for one in (x, new))
    cosines = _unit(far) @ _unit(near).T
    if nearest < len(x):
        kept = np.partition(cosines, -nearest, axis=1)[:, -nearest, None]
        cosines = np.where(cosines >= kept, cosines, -np.inf)
    of_class = np.eye(classes)[y]
    tables = []
    for width in WIDTHS:
        weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / width)
        tables.append(np.log(weights @ of_class + 1e-4))
    return tables


def _unit(x: Features) -> Features:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9))


def nearest_ten(x: Features, y: Numbers, new: Features, classes: int) -> list[Logits]:
    return votes(x, y, new, classes, NEIGHBORS)


def kernel(x: Features, y: Numbers, new: Features, classes: int) -> list[Logits]:
    return votes(x, y, new, classes, len(x))


def chosen(x: Features, y: Numbers, parts: Numbers, new: Features, classes: int) -> Logits:
    (weights, biases), _ = choose_head(x, y, parts, classes, head_tau_norm=True)
    return np.asarray(new @ weights.T + biases)


def whitened_kernel(x: Features, y: Numbers, new: Features, classes: int) -> list[Logits]:
    covariance = Moments.of(x, y, classes).covariance
    mean_variance = np.trace(covariance) / len(covariance)
    shrunk = (1 - DEFAULT_SHRINKAGE) * covariance
    shrunk[np.diag_indices_from(shrunk)] += DEFAULT_SHRINKAGE * mean_variance + 1e-9
    root = np.linalg.cholesky(np.linalg.inv(shrunk)).astype(np.float32)
    return kernel(x @ root, y, new @ root, classes)


HEADS: dict[str, Head] = {
    "ten nearest": nearest_ten,
    "kernel": kernel,
    "whitened kernel": whitened_kernel,
}


def losses(logits: Logits, labels: Numbers) -> NDArray[np.float64]:
    """Log loss of each image at the best scale of all."""
    _, scale = fit_logit_scale(logits, labels)
    return -log_softmax(logits * scale, axis=1)[np.arange(len(labels)), labels]


class Draw:
    """Some images of each class, their folds, and all others."""

    def __init__(self, x: Features, y: Numbers, kinds: Numbers, each: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = [rng.permutation(np.flatnonzero(kinds == kind)) for kind in np.unique(kinds)]
        taken = np.sort(np.concatenate([of[:each] for of in rows]))
        left = np.setdiff1d(np.arange(len(x)), taken)
        self.classes = int(y.max()) + 1
        self.x, self.y, self.new_x, self.new_y = x[taken], y[taken], x[left], y[left]
        self.left = left
        names = pl.Series([f"{row:06}" for row in taken])
        labels = pl.Series(self.y.astype(str))
        self.folds = assign_folds(names, labels, np.arange(len(taken)), FOLDS, seed)

    def compare(self) -> tuple[dict[str, int], dict[str, NDArray[np.float64]]]:
        """How many folds would choose each head, and the members' hits on the other images."""
        wins: dict[str, int] = defaultdict(int)
        hits: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)
        for fold in range(FOLDS):
            rest = self.folds != fold
            x, y, parts = self.x[rest], self.y[rest], self.folds[rest]
            found = chosen(x, y, parts, self.new_x, self.classes)
            hits["chosen"].append(found.argmax(1) == self.new_y)
            reference = losses(self.cross_fit_chosen(x, y, parts), y)
            for name, head in HEADS.items():
                tables = self.cross_fit(head, x, y, parts)
                inner = [losses(table, y) for table in tables]
                best = int(np.argmin([one.mean() for one in inner]))
                change = inner[best] - reference
                wins[name] += change.mean() + change.std() / np.sqrt(len(change)) < 0
                found = head(x, y, self.new_x, self.classes)[best]
                hits[name].append(found.argmax(1) == self.new_y)
        return wins, {name: np.mean(of, axis=0) for name, of in hits.items()}

    def cross_fit(self, head: Head, x: Features, y: Numbers, parts: Numbers) -> list[Logits]:
        """Logits of each image by the images of the other parts, at each width."""
        tables = [np.zeros((len(x), self.classes)) for _ in WIDTHS]
        for part in np.unique(parts):
            is_val = parts == part
            found = head(x[~is_val], y[~is_val], x[is_val], self.classes)
            for table, logits in zip(tables, found, strict=True):
                table[is_val] = logits
        return tables

    def cross_fit_chosen(self, x: Features, y: Numbers, parts: Numbers) -> Logits:
        table = np.zeros((len(x), self.classes))
        for part in np.unique(parts):
            is_val = parts == part
            table[is_val] = chosen(x[~is_val], y[~is_val], parts[~is_val], x[is_val], self.classes)
        return table


def compare(x: Features, kinds: Numbers, seeds: int, used: Used | str, name: str) -> None:
    tasks = {"": kinds, ", kinds merged by threes": kinds // MERGED}
    for task, y in tasks.items():
        for each in (5, 10, 20):
            wins: dict[str, int] = defaultdict(int)
            hits: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
            judged = []
            for seed in range(seeds):
                draw = Draw(x, y, kinds, each, seed)
                won, right = draw.compare()
                judged.append(draw.left)
                for head in HEADS:
                    wins[head] += won[head]
                for head, of in right.items():
                    hits[head].append(of)
            means = {head: np.concatenate(of) for head, of in hits.items()}
            images = np.concatenate(judged)
            changes = {}
            for head in HEADS:
                change = means[head] - means["chosen"]
                changes[head] = (change.mean(), *interval(change, images))
            case = f"{name}, {each} images a kind{task}"
            print(case, {head: f"{of.mean():.4f}" for head, of in means.items()}, dict(wins))
            shares = {f"{head} would be chosen": wins[head] / (seeds * FOLDS) for head in HEADS}
            record(
                "neighbor-heads",
                changes,
                seeds,
                "seeds",
                case=case,
                spread="95 % interval over images",
                details={
                    "accuracy": {head: of.mean() for head, of in means.items()},
                    "of the folds": shares,
                },
                data=used,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        source, name = args.data, args.data.name if args.data else "drawn beasts"
        if source is None:
            source = Path(folder) / "beasts"
            draw_sample(source, species=42, per_species=30, size=128)
        overrides = args.overrides if args.data else ["view.size=96", *args.overrides]
        data, _ = read_data(source, "probe", overrides)
        x = features_of(data)
        used = (args.data, len(x)) if args.data else name
        compare(x, data.labels, args.seeds, used, name)


if __name__ == "__main__":
    recording(main, __file__)
