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


def main() -> None:
    for place in sys.argv[1:]:
        snapshot = Run.open(place).load()
        gain = simulate_labeling(snapshot.recipe, read_out_of_fold(snapshot))
        assert gain is not None, "probe the images here first"
        seeds = ", ".join(f"{saved:.2f}" for saved in gain.by_seed)
        print(f"{place}: labels {gain.labels[0]:.0f} to {gain.labels[-1]:.0f}")
        print(f"  random {gain.random.mean(axis=0).round(4).tolist()}")
        print(f"  chosen {gain.chosen.mean(axis=0).round(4).tolist()}")
        print(f"  labels saved {gain.saved:.3f} (seeds {seeds})")


if __name__ == "__main__":
    main()
