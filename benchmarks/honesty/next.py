"""Claim: `next` saves 20 % of the labels against a random choice, or says that it gains nothing.

    python benchmarks/honesty/next.py RUN ...

Each run needs its features in the cache, as `bestiary probe` leaves them there. The simulation is
the one that the verb makes on the user's own images.
"""

import sys
from pathlib import Path

from bestiary.evaluation.labeling_gain import simulate_labeling
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "next-saves-labels": {
        "statement": "`next` saves labels against a random choice",
        "unit": "of the labels saved",
        "bar": ("least", 0.2, "less would not be worth its order"),
        "watches": ("src/bestiary/evaluation/labeling_gain.py",),
    },
}


def main() -> None:
    for place in sys.argv[1:]:
        snapshot = Run.open(place).load()
        gain = simulate_labeling(snapshot.recipe, read_out_of_fold(snapshot))
        assert gain is not None, "probe the images here first"
        seeds = ", ".join(f"{saved:.2f}" for saved in gain.by_seed)
        print(f"{place}: labels {gain.labels[0]:.0f} to {gain.labels[-1]:.0f}")
        print(f"  random {gain.random.mean(axis=0).round(4).tolist()}")
        print(f"  chosen {gain.chosen.mean(axis=0).round(4).tolist()}")
        saved = (gain.saved, min(gain.by_seed), max(gain.by_seed))
        ends = {"first": gain.labels[0], "last": gain.labels[-1]}
        record(
            "next-saves-labels",
            saved,
            len(gain.by_seed),
            "seeds",
            case=Path(place).name,
            spread="least to most",
            details={"labels": ends},
        )
        print(f"  labels saved {gain.saved:.3f} (seeds {seeds})")


if __name__ == "__main__":
    recording(main, __file__)
