"""Claim: with few images, `probe` is not worse than the best of three simple heads.

And the interval that it prints holds the accuracy of its members on new images.

    python benchmarks/accuracy/tiny_data.py DATA [--set data.layout=...] [--draws 200]

A folder with train and test takes `--set data.layout=part/class`: else its test images are no data.

Draws 3, 5 and 10 images a class, seeds 0 to 2; five folds; each head is fitted to the training part
of each fold, and its members are judged on all other images, those of near duplicates of drawn
ones left out. Then it draws 30 images altogether (10 of 3 classes, 3 of 10, 15 of 2), many times,
and counts how often the printed 95 % interval holds the accuracy of the mean member on the rest.
The rest are few themselves, and hits are whole numbers: so the share that it would hold were every
image independent is printed beside it. Last, the labels of 30 images are drawn at random: the
choice of a head must not look better than chance.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from bestiary.data.folds import assign_folds
from bestiary.stats.intervals import share_interval, wilson_interval
from bestiary.training.head_choice import choose_head
from bestiary.training.lda_head import fit_lda

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.frozen import features_of, read_data
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "few-images-head": {
        "statement": (
            "With few images, the chosen head is not worse than the best of three simple ones"
        ),
        "unit": "difference of accuracy",
        "bar": ("least", 0.0, "the choice costs no accuracy"),
        "watches": (
            "src/bestiary/training/head_choice.py",
            "src/bestiary/training/lda_head.py",
        ),
    },
    "few-images-interval": {
        "statement": (
            "With 30 images, the printed 95 % interval holds the members' accuracy on new ones"
        ),
        "unit": "of the draws covered",
        "watches": (
            "src/bestiary/training/head_choice.py",
            "src/bestiary/stats/intervals.py",
        ),
    },
    "few-images-chance": {
        "statement": "With labels drawn at random, the choice of a head shows no more than chance",
        "unit": "accuracy",
        "watches": ("src/bestiary/training/head_choice.py",),
    },
}
COMMANDS = ("{data}",)


FOLDS = 5
FEW = "The score errs downwards: the class of a held-out image has two images left."
Features = NDArray[np.float32]
Numbers = NDArray[np.int64]
Used = tuple[Path, int]  # a folder, and how many of its images are used
Fitted = tuple[NDArray[np.float64], NDArray[np.float64]]
Fit = Callable[[Features, Numbers, Numbers, int], Fitted]


def fit_nearest_mean(x: Features, y: Numbers, _parts: Numbers, classes: int) -> Fitted:
    """Cosine, features relative to their mean."""
    center = x.mean(axis=0)
    unit = (x - center) / np.linalg.norm(x - center, axis=1, keepdims=True)
    means = np.stack([unit[y == label].mean(axis=0) for label in range(classes)])
    weights = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float64)
    return weights, -weights @ center


def fit_logistic(x: Features, y: Numbers, _parts: Numbers, classes: int) -> Fitted:
    model = LogisticRegression(max_iter=300).fit(x, y)
    if classes == 2:
        return np.concatenate([-model.coef_, model.coef_]), np.concatenate(
            [-model.intercept_, model.intercept_]
        )
    return model.coef_, model.intercept_


def fit_discriminant(x: Features, y: Numbers, _parts: Numbers, classes: int) -> Fitted:
    return fit_lda(x, y, classes, head_tau_norm=True)


chosen: Counter[str] = Counter()


def fit_chosen(x: Features, y: Numbers, parts: Numbers, classes: int) -> Fitted:
    layer, choice = choose_head(x, y, parts, classes, head_tau_norm=True)
    chosen[choice.kind] += 1
    return layer


HEADS: dict[str, Fit] = {
    "chosen": fit_chosen,
    "discriminant": fit_discriminant,
    "logistic": fit_logistic,
    "nearest mean": fit_nearest_mean,
}


class Draw:
    """Some images of some classes, their folds, and all other images of these classes."""

    def __init__(
        self, x: Features, y: Numbers, groups: Numbers, classes: int, per_class: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        names = np.sort(rng.permutation(y.max() + 1)[:classes])
        of_class = [rng.permutation(np.flatnonzero(y == name)) for name in names]
        drawn = np.sort(np.concatenate([rows[:per_class] for rows in of_class]))
        others = np.flatnonzero(np.isin(y, names) & ~np.isin(groups, groups[drawn]))
        self.classes = classes
        self.x, self.y = x[drawn], np.searchsorted(names, y[drawn])
        self.new_x, self.new_y = x[others], np.searchsorted(names, y[others])
        self.groups, self.new_groups = groups[drawn], groups[others]
        paths = pl.Series([f"{row:06}" for row in drawn])
        labels = pl.Series(self.y.astype(str))
        self.folds = assign_folds(paths, labels, self.groups, FOLDS, seed)

    def hits(self, fit: Fit) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
        """Out-of-fold hits, the members' hits on new images, and their mean log loss there."""
        held_out = np.zeros(len(self.y), np.bool_)
        new = np.zeros((FOLDS, len(self.new_y)), np.bool_)
        losses = []
        for fold in range(FOLDS):
            rest = self.folds != fold
            weights, biases = fit(self.x[rest], self.y[rest], self.folds[rest], self.classes)
            held_out[~rest] = (self.x[~rest] @ weights.T + biases).argmax(1) == self.y[~rest]
            logits = self.new_x @ weights.T + biases
            new[fold] = logits.argmax(1) == self.new_y
            log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            losses.extend(-log_p[np.arange(len(self.new_y)), self.new_y])
        return held_out, new, float(np.mean(losses or [np.nan]))


def interval(change: NDArray[np.float64], groups: Numbers) -> tuple[float, float]:
    """95 % interval of a mean; images of one group, and one image of several seeds, count once."""
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, change - change.mean())
    error = np.sqrt(np.square(sums).sum()) / len(change)
    return change.mean() - 1.96 * error, change.mean() + 1.96 * error


def compare_heads(x: Features, y: Numbers, groups: Numbers, data: Used) -> None:
    classes = int(y.max()) + 1
    for per_class in (3, 5, 10):
        chosen.clear()
        hits: dict[str, list[NDArray[np.float64]]] = {name: [] for name in HEADS}
        losses: dict[str, list[float]] = {name: [] for name in HEADS}
        new_groups = []
        for seed in range(3):
            draw = Draw(x, y, groups, classes, per_class, seed)
            new_groups.append(draw.new_groups)
            for name, fit in HEADS.items():
                started = time.perf_counter()
                held_out, new, loss = draw.hits(fit)
                seconds = time.perf_counter() - started
                hits[name].append(new.mean(axis=0))
                losses[name].append(loss)
                print(
                    f"{per_class} a class, seed {seed}, {name}: mean member {new.mean():.4f}, log "
                    f"loss {loss:.3f}, out of fold {held_out.mean():.4f}, {seconds:.2f} s"
                )
        means = {name: np.concatenate(parts) for name, parts in hits.items()}
        best = max(
            (name for name in HEADS if name != "chosen"), key=lambda name: means[name].mean()
        )
        change = means["chosen"] - means[best]
        low, high = interval(change, np.concatenate(new_groups))
        print(
            f"{per_class} a class: chosen {dict(chosen)}; chosen minus {best}: "
            f"{change.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        )
        record(
            "few-images-head",
            {f"against {best}": (change.mean(), low, high)},
            3,
            "seeds",
            case=f"{per_class} images a class",
            spread="95 % interval over images",
            details={
                "accuracy": {name: of.mean() for name, of in means.items()},
                "log loss": {name: float(np.mean(of)) for name, of in losses.items()},
            },
            data=data,
        )


def expected_share(accuracy: float, drawn: int, others: int) -> float:
    """Share of draws that Wilson's interval holds where hits are independent, at one accuracy."""
    share = 0.0
    for hits in range(drawn + 1):
        low, high = wilson_interval(hits / drawn, drawn)
        below = binom.cdf(np.ceil(low * others) - 1, others, accuracy)
        inside = binom.cdf(np.floor(high * others), others, accuracy) - below
        share += binom.pmf(hits, drawn, accuracy) * inside
    return share


def count_held(x: Features, y: Numbers, groups: Numbers, draws: int, data: Used) -> None:
    for classes, per_class in ((3, 10), (10, 3), (2, 15)):
        chosen.clear()
        held, expected, widths, gaps = [], [], [], []
        for seed in range(draws):
            draw = Draw(x, y, groups, classes, per_class, seed)
            out_of_fold, new, _ = draw.hits(fit_chosen)
            score = share_interval(out_of_fold, draw.groups)
            truth = new.mean()
            held.append(score.low <= truth <= score.high)
            expected.append(expected_share(truth, score.n, len(draw.new_y)))
            widths.append(score.high - score.low)
            gaps.append(out_of_fold.mean() - truth)
        error = np.std(gaps) / np.sqrt(draws)
        print(
            f"30 images, {classes} classes: the interval holds the mean member in "
            f"{sum(held)} of {draws} (independent images: {np.mean(expected):.3f}); "
            f"mean width {np.mean(widths):.3f}; out of fold minus truth "
            f"{np.mean(gaps):+.4f} (standard error {error:.4f}); chosen {dict(chosen)}"
        )
        gap = np.mean(gaps)
        record(
            "few-images-interval",
            float(np.mean(held)),
            draws,
            "draws",
            case=f"{classes} classes, {per_class} images of each",
            details={
                "of the draws covered, were images independent": np.mean(expected),
                "mean width": np.mean(widths),
                "out of fold minus truth": (gap, gap - 1.96 * error, gap + 1.96 * error),
            },
            data=data,
            note=FEW if per_class < FOLDS else "",
        )


def try_noise(x: Features, draws: int, data: Used) -> None:
    shares = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(x))[:30]
        y = rng.permutation(np.arange(30) % 3)
        draw = Draw(x[rows], y, np.arange(30), 3, 10, seed)
        shares.append(draw.hits(fit_chosen)[0].mean())
    error = np.std(shares) / np.sqrt(draws)
    print(
        f"30 images with random labels of 3 classes, {draws} draws: out of fold "
        f"{np.mean(shares):.4f} (standard error {error:.4f}); chance 0.3333"
    )
    mean = np.mean(shares)
    ends = (mean, mean - 1.96 * error, mean + 1.96 * error)
    spread = "95 % interval of the mean"
    note = "Chance is 0.3333."
    record("few-images-chance", ends, draws, "draws", spread=spread, data=data, note=note)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    data, groups = read_data(arguments.data, "probe", arguments.overrides)
    x = features_of(data)
    print(machine())
    print(f"{len(x):,} images of {len(data.classes)} classes")
    used = (arguments.data, len(x))
    compare_heads(x, data.labels, groups, used)
    count_held(x, data.labels, groups, arguments.draws, used)
    try_noise(x, arguments.draws, used)


if __name__ == "__main__":
    recording(main, __file__)
