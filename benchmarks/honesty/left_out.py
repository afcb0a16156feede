"""Claim: the score that a run takes tells left-out classes at least as well as energy does.

    python benchmarks/honesty/left_out.py RUN ...

Each run needs its features in the cache. Every class and every group of look-alikes is left out in
turn, with heads on the cached features: AUROC, and the share caught at 5 % of false alarms.
"""

import sys
from pathlib import Path

import numpy as np

from bestiary.evaluation.left_out_classes import leave_classes_out
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.run import Run
from bestiary.stats.left_out import SCORES, better_score, honest_rates

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "left-out-classes": {
        "statement": "The score that a run takes tells left-out classes from known ones",
        "unit": "AUROC",
        "watches": (
            "src/bestiary/evaluation/left_out_classes.py",
            "src/bestiary/stats/left_out.py",
            "src/bestiary/stats/ood.py",
        ),
    },
}


def main() -> None:
    for place in sys.argv[1:]:
        snapshot = Run.open(place).load()
        sets = leave_classes_out(snapshot.recipe, read_out_of_fold(snapshot))
        assert sets, "probe the images here first"
        areas, shares = {}, {}
        for name in SCORES:
            auroc = np.array([one.auroc[name] for one in sets])
            caught = shares[name] = np.mean([one.caught[name] for one in sets])
            areas[name] = auroc.mean()
            print(
                f"{place}: {name}: AUROC {auroc.mean():.3f} (sd {auroc.std():.3f}, least "
                f"{auroc.min():.3f}), caught {caught:.3f}, {len(sets)} sets"
            )
        auroc_taken, caught_taken = honest_rates(sets)
        print(
            f"{place}: taken: {better_score(sets)}, AUROC {auroc_taken:.3f}, caught "
            f"{caught_taken:.3f} by what the other sets choose"
        )
        details = {
            "AUROC of the one taken": auroc_taken,
            "caught at 5 % of false alarms": shares | {"the one taken": caught_taken},
        }
        case = Path(place).name
        n = len(sets)
        record("left-out-classes", areas, n, "left-out sets", case=case, details=details)


if __name__ == "__main__":
    recording(main, __file__)
