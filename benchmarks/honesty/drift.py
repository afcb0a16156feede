"""Claim: `drift` raises 3 to 7 % of false alarms at 5 %, also where the class shares change.

    python benchmarks/honesty/drift.py RUN ...

Same world: images of a run are taken out as if they were new, one of each leak group, and compared
with the rest; at random, or by class shares from a Dirichlet distribution.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.drifting import World
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.drift import drift_test

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "drift-false-alarms": {
        "statement": "`drift` at 5 % calls images of the same world changed about as often",
        "unit": "of the samples called changed",
        "bar": ("within", [0.03, 0.07], "5 %, with noise of 200 draws"),
        "watches": (
            "src/bestiary/stats/drift.py",
            "src/bestiary/evaluation/drifting.py",
        ),
    },
}


REPEATS = 200
NEW = 100


def drawn(classes: NDArray[np.int64], repeat: int, uneven: bool) -> NDArray[np.int64]:
    """Rows to take out as new, alike or by uneven shares of the classes."""
    rng = keyed_rng(repeat, "new images")
    if not uneven:
        return rng.permutation(len(classes))[:NEW]
    shares = rng.dirichlet(np.ones(classes.max() + 1))[classes]
    return rng.choice(len(classes), NEW, replace=False, p=shares / shares.sum())


def main() -> None:
    for place in sys.argv[1:]:
        world = World.of(read_out_of_fold(Run.open(place).load()).scorable())
        classes = world.logits.argmax(axis=1)
        for uneven in (False, True):
            alarms = 0
            for repeat in range(REPEATS):
                new = drawn(classes, repeat, uneven)
                rest = np.delete(np.arange(len(classes)), new)
                vectors = world.logits
                test = drift_test(vectors[rest], vectors[new], classes[rest], classes[new], repeat)
                alarms += test.changed
            kind = "uneven class shares" if uneven else "the same class shares"
            case = f"{Path(place).name}, {kind}"
            record("drift-false-alarms", alarms / REPEATS, REPEATS, "draws", case=case)
            print(
                f"{place}: {'uneven' if uneven else 'same'} class shares, {NEW} new images "
                f"against {len(classes) - NEW}: {alarms} false alarms of {REPEATS} "
                f"({alarms / REPEATS:.3f})",
                flush=True,
            )


if __name__ == "__main__":
    recording(main, __file__)
