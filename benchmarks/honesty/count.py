"""Claim: the 95 % intervals of `count` hold the shares of the classes after a label shift.

    python benchmarks/honesty/count.py [--simulations 1000] [--run RUN ...] [--shifts 200]

Simulations: a world of Gaussian features with eight classes, whose logits are 1.7 times too sharp
and biased against some classes. 800 images are known, with five members of their own errors; 400
new images have shares drawn from a Dirichlet distribution, from even to nearly one class. In every
second simulation, images come in bursts of up to five of one class.

With RUN: its out-of-fold images are split in halves, groups together; one half is known, the other
half's images are drawn with replacement by new shares.
"""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.class_shares import ClassShares, Known, New, estimate_shares
from bestiary.stats.intervals import share_interval

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "count-intervals": {
        "statement": "The 95 % intervals of `count` hold the shares of the classes after a shift",
        "unit": "of the intervals covered",
        "bar": ("within", [0.93, 0.97], "what 95 % means, with noise"),
        "watches": ("src/bestiary/stats/class_shares.py",),
    },
}
COMMANDS = ("",)


Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CLASSES = 8
MEMBERS = 5
SHARPNESS = 1.7
CONCENTRATIONS = (0.3, 1.0, 5.0)


@dataclass
class Coverage:
    """Counts which intervals hold, and the errors of three ways to count."""

    holds: list[bool] = field(default_factory=list)
    counts_hold: list[bool] = field(default_factory=list)
    count_widths: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=dict)

    def add(self, result: ClassShares, truth: Floats, counted: Floats, present: Integers) -> None:
        low, high = result.count_intervals
        self.counts_hold += ((low <= present) & (present <= high)).tolist()
        self.count_widths += (high - low).tolist()
        self.holds += ((result.low <= truth) & (truth <= result.high)).tolist()
        self.shares += truth.tolist()
        self.widths += (result.high - result.low).tolist()
        for name, shares in (
            ("likeliest shares", result.shares),
            ("adjusted counts", result.adjusted),
            ("labels counted", counted),
        ):
            self.errors.setdefault(name, []).append(float(np.abs(shares - truth).mean()))

    def report(self, name: str) -> None:
        holds = np.array(self.holds)
        shares = np.array(self.shares)
        print(f"{name}: {share_interval(holds)} of {len(holds)} intervals hold")
        record(
            "count-intervals",
            share_interval(holds),
            len(holds),
            "intervals",
            case=name,
            spread="95 % interval",
            details={
                "of the counts of these images covered": share_interval(np.array(self.counts_hold)),
                "mean error of a share": {
                    way: np.mean(errors) for way, errors in self.errors.items()
                },
            },
        )
        for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.3), (0.3, 1.01)):
            inside = (low <= shares) & (shares < high)
            if inside.any():
                print(f"  shares of {low:g} to {min(high, 1):g}: {holds[inside].mean():.4f}")
        print(
            f"  counts of these images: {share_interval(np.array(self.counts_hold))} hold, mean "
            f"width {np.mean(self.count_widths):.1f} images"
        )
        means = ", ".join(f"{way} {np.mean(errors):.4f}" for way, errors in self.errors.items())
        print(f"  mean width {np.mean(self.widths):.4f}; mean error: {means}")


def draw_bursts(rng: np.random.Generator, shares: Floats, n: int, longest: int) -> tuple:
    """Draw labels in bursts of one class; labels and burst numbers (n,)."""
    lengths = rng.integers(1, longest + 1, n)
    bursts = np.repeat(np.arange(n), lengths)[:n]
    return rng.choice(len(shares), n, p=shares)[bursts], bursts


def simulate(seed: int, coverage: Coverage) -> None:
    rng = keyed_rng(seed, "bench count")
    means = 1.3 * rng.normal(size=(CLASSES, 6))
    weights = np.stack([means + 0.1 * rng.normal(size=means.shape) for _ in range(MEMBERS)])
    bias = 0.5 * rng.normal(size=CLASSES)
    longest = 5 if seed % 2 else 1

    def draw(shares: Floats, n: int) -> tuple[Floats, Integers, Integers]:
        labels, bursts = draw_bursts(rng, shares, n, longest)
        subject = 0.5 * rng.normal(size=(n, 6))[bursts]  # what the images of a burst share
        noise = np.sqrt(0.75) * rng.normal(size=(n, 6))
        features = means[labels] + subject + noise
        logits = np.einsum("nf,mcf->mnc", features, weights)
        logits = SHARPNESS * (logits - (weights**2).sum(axis=2)[:, None] / 2) + bias
        return logits, labels, bursts

    old_logits, labels, groups = draw(rng.dirichlet(np.full(CLASSES, 5.0)), 800)
    member = groups % MEMBERS
    known = Known(old_logits[member, np.arange(800)], labels, groups)
    truth = rng.dirichlet(np.full(CLASSES, CONCENTRATIONS[seed % 3]))
    logits, new_labels, new_groups = draw(truth, 400)
    add_result(known, New(logits, new_groups), truth, new_labels, coverage)


def add_result(known: Known, new: New, truth: Floats, labels: Integers, coverage: Coverage) -> None:
    result = estimate_shares(known, new, draws=100)
    predicted = new.logits.mean(axis=0).argmax(axis=1)
    counted = np.bincount(predicted, minlength=len(truth)) / len(predicted)
    coverage.add(result, truth, counted, np.bincount(labels, minlength=len(truth)))


def shift_run(path: Path, shifts: int) -> None:
    table = read_out_of_fold(Run.open(path).load()).scorable()
    coverage = Coverage()
    n_classes = len(table.classes)
    for seed in range(shifts):
        rng = keyed_rng(seed, "bench count run")
        is_known = rng.random(int(table.groups.max()) + 1)[table.groups] < 0.5
        pools = [np.flatnonzero(~is_known & (table.labels == c)) for c in range(n_classes)]
        present = np.array([len(pool) > 0 for pool in pools])
        truth = rng.dirichlet(np.full(n_classes, CONCENTRATIONS[seed % 3])) * present
        truth /= truth.sum()
        labels = rng.choice(n_classes, 400, p=truth)
        rows = np.array([rng.choice(pools[label]) for label in labels])
        known = Known(table.logits[is_known], table.labels[is_known], table.groups[is_known])
        new = New(table.logits[rows][None], np.arange(400))
        add_result(known, new, truth, labels, coverage)
    coverage.report(f"{path.name}, {shifts} shifts")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    parser.add_argument("--shifts", type=int, default=200)
    args = parser.parse_args()
    alone, bursts = Coverage(), Coverage()
    for seed in range(args.simulations):
        simulate(seed, bursts if seed % 2 else alone)
    alone.report(f"{args.simulations - args.simulations // 2} simulated shifts, single images")
    bursts.report(f"{args.simulations // 2} simulated shifts, bursts")
    for path in args.run:
        shift_run(path, args.shifts)


if __name__ == "__main__":
    recording(main, __file__)
