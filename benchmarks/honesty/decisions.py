"""Claims: a precision promised of a class is kept; the answer of least expected cost costs less.

    python benchmarks/honesty/decisions.py [--simulations 1000] [--run RUN] [--splits 200]

Simulations: images of ten classes from a long-tailed world of Gaussian features, whose posterior
is known. The logits are 1.7 times too sharp, as those of networks. Temperature and promises are
learnt from 1,000 images; a promise is kept if the mean posterior of the new images above a class's
threshold is what was promised. In every second simulation each image has up to three duplicates.

With RUN: its out-of-fold predictions are split at random (groups together) in halves; the first
learns, the second judges, as far as its own images can tell.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import fit_temperature
from bestiary.stats.class_promises import ClassPromises
from bestiary.stats.costs import balanced_costs, compare_costs
from bestiary.stats.intervals import share_interval

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "class-promises": {
        "statement": "The precision promised of a class is kept",
        "unit": "of the promises kept",
        "bar": ("least", 0.95, "a promise is one at 95 % confidence"),
        "watches": ("src/bestiary/stats/class_promises.py",),
    },
    "class-promises-halves": {
        "statement": "Promises that one half of real images allows, judged on the other",
        "unit": "of the promises reached",
        "watches": ("src/bestiary/stats/class_promises.py",),
    },
    "balanced-costs": {
        "statement": "Answers of least expected cost save costs",
        "unit": "cost an image saved",
        "watches": ("src/bestiary/stats/costs.py",),
    },
}
COMMANDS = ("",)


Floats = NDArray[np.float64]
CLASSES = 10
SHARPNESS = 1.7
DIMENSIONS = 6


def draw_world(seed: int, n: int, part: str) -> tuple[Floats, NDArray[np.int64]]:
    """Draw images of a world: exact log posteriors (n, classes) and labels (n,)."""
    world = keyed_rng(seed, "decisions world")
    means = 1.6 * world.normal(size=(CLASSES, DIMENSIONS))
    shares = 0.6 ** np.arange(CLASSES)
    shares /= shares.sum()
    rng = keyed_rng(seed, f"decisions {part}")
    labels = rng.choice(CLASSES, n, p=shares)
    features = means[labels] + rng.normal(size=(n, DIMENSIONS))
    distances = ((features[:, None] - means) ** 2).sum(axis=2)
    return np.log(shares) - distances / 2, labels


def simulate(seed: int, precision: float) -> tuple[list[bool], int, int]:
    """Learn promises in one world; whether each is kept, how many there are, with duplicates."""
    logits, labels = draw_world(seed, 1000, "old")
    groups = np.arange(1000)
    if seed % 2:
        repeats = keyed_rng(seed, "decisions duplicates").integers(1, 4, 1000)
        groups = np.repeat(groups, repeats)[:1000]
        logits, labels = logits[groups], labels[groups]
    sharp = SHARPNESS * logits
    temperature = fit_temperature(sharp, labels)
    promises = ClassPromises.fit(softmax(sharp / temperature), labels, groups, precision)
    new, _ = draw_world(seed, 20_000, "new")
    posterior = softmax(new)
    given = softmax(SHARPNESS * new / temperature)
    reaches = promises.keeps(given)
    predicted = given.argmax(axis=1)
    kept = []
    for number in np.flatnonzero(promises.can_promise):
        chosen = posterior[reaches & (predicted == number), number]
        kept.append(bool(len(chosen) == 0 or chosen.mean() >= precision))
    return kept, len(kept), int(seed % 2)


def report_simulations(count: int) -> None:
    for precision in (0.9, 0.95):
        by_kind: dict[int, list[bool]] = {0: [], 1: []}
        numbers = []
        for seed in range(count):
            kept, number, kind = simulate(seed, precision)
            by_kind[kind] += kept
            numbers.append(number)
        every = by_kind[0] + by_kind[1]
        interval = share_interval(np.array(every))
        record(
            "class-promises",
            {"": interval},
            count,
            "simulations",
            case=f"precision of {precision}",
            spread="95 % interval",
            details={
                "of the promises kept, by kind": {
                    "without duplicates": np.mean(by_kind[0]),
                    "with duplicates": np.mean(by_kind[1]),
                },
                f"of {CLASSES} classes promised": np.mean(numbers),
            },
        )
        print(
            f"promise of {precision}: kept {interval} of {len(every)} promises in {count} "
            f"simulations ({np.mean(by_kind[0]):.4f} without duplicates, "
            f"{np.mean(by_kind[1]):.4f} with); "
            f"{np.mean(numbers):.2f} of {CLASSES} classes promised"
        )


def report_run(path: Path, splits: int) -> None:
    table = read_out_of_fold(Run.open(path).load()).scorable()
    logits = table.logits.astype(np.float64)
    for precision in (0.9, 0.95):
        kept, precisions, promised = [], [], []
        for split in range(splits):
            draw = keyed_rng(split, "decisions halves").random(int(table.groups.max()) + 1)
            learns = draw[table.groups] < 0.5
            temperature = fit_temperature(logits[learns], table.labels[learns])
            probabilities = softmax(logits / temperature)
            promises = ClassPromises.fit(
                probabilities[learns], table.labels[learns], table.groups[learns], precision
            )
            judged = promises.keeps(probabilities) & ~learns
            predicted = probabilities.argmax(axis=1)
            promised.append(int(promises.can_promise.sum()))
            for number in np.flatnonzero(promises.can_promise):
                hits = table.labels[judged & (predicted == number)] == number
                if len(hits):
                    kept.append(hits.mean() >= precision)
                    precisions.append(hits.mean())
        if kept:
            details = {
                "precision on the other half": np.mean(precisions),
                f"of {len(table.classes)} classes promised": np.mean(promised),
            }
            case = f"{path.name}, precision of {precision}"
            share = float(np.mean(kept))
            record("class-promises-halves", share, splits, "halves", case=case, details=details)
        print(
            f"{path.name}, promise of {precision}: {np.mean(promised):.1f} of "
            f"{len(table.classes)} classes promised; "
            + (
                f"mean precision on the other half {np.mean(precisions):.4f}, that half's own "
                f"share reaches it for {np.mean(kept):.4f} of {len(kept)} promises"
                if kept
                else "nothing to judge"
            )
        )
    shares = np.bincount(table.labels, minlength=len(table.classes)) / len(table.labels)
    comparison = compare_costs(softmax(logits), table.labels, table.groups, balanced_costs(shares))
    print(f"{path.name}, balanced costs: {comparison}")
    details = {"cost an image": {"likeliest": comparison.usual, "least cost": comparison.least}}
    n = comparison.images
    spread = "95 % interval"
    saved = comparison.saved
    record("balanced-costs", saved, n, "images", case=path.name, spread=spread, details=details)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    parser.add_argument("--splits", type=int, default=200)
    args = parser.parse_args()
    report_simulations(args.simulations)
    for path in args.run:
        report_run(path, args.splits)


if __name__ == "__main__":
    recording(main, __file__)
