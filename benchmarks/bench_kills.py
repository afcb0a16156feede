"""Claim: a run that is killed at any instant and resumed ends in the same bits as one that was
never interrupted.

Trains small runs (drawn images, two folds of three epochs, states kept after every step or two) and
kills them by SIGKILL: by a clock at random instants, inside the writing of a state (the process
kills itself between two of the calls that make a file whole), and between folds. Each is resumed,
mostly to be killed again. At the end its weights, its out-of-fold logits and its scores are
compared with those of a run that was left alone.

    OMP_NUM_THREADS=1 python benchmarks/bench_kills.py [--kills 50] [--seed 0]
"""

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from bestiary.display import TrainingDisplay
from faulting import FOLDS, Place, digests, last_line


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_writing(number: int) -> None:
    """Kill this process at its `number`-th flush or renaming, before or after the call."""
    calls = iter(range(1, 1_000_000))

    def counted(call):  # type: ignore[no-untyped-def]
        def counting(*arguments, **more):  # type: ignore[no-untyped-def]
            here = next(calls)
            if here == number:
                die()
            done = call(*arguments, **more)
            if here + 0.5 == number:
                die()
            return done

        return counting

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


def die_between_folds() -> None:
    """Kill this process when the second fold begins."""
    start = TrainingDisplay.start_fold

    def starting(self, fold, *arguments):  # type: ignore[no-untyped-def]
        if fold == 1:
            die()
        start(self, fold, *arguments)

    TrainingDisplay.start_fold = starting  # type: ignore[method-assign]


class Tally:
    """Runs that are killed until there were enough kills.

    Attributes:
        kills: by the way they were done.
        found: what the kills had left to go on from.
    """

    def __init__(self, place: Place, wanted: int, seed: int) -> None:
        self.place, self.wanted, self.rng = place, wanted, random.Random(seed)
        began = time.perf_counter()
        status, said = place.train(place.folder / "whole")
        self.whole = time.perf_counter() - began  # seconds
        if status:
            raise SystemExit(said)
        self.kills, self.found = Counter[str](), Counter[str]()

    def attempt(self, run: Path, way: str) -> tuple[int, str]:
        """Begin or go on with `run`, and kill it in the way named."""
        if way == "clock":
            return self.place.train(run, kill_after=self.rng.uniform(0, 0.7 * self.whole))
        if way == "in writing":
            number = self.rng.randrange(2, 120) / 2
            return self.place.train(run, prepare=lambda: die_in_writing(number))
        return self.place.train(
            run, prepare=die_between_folds if way == "between folds" else lambda: None
        )

    def finish(self, run: Path) -> None:
        """Kill and resume `run` until it gets through."""
        ways = ["clock", "clock", "clock", "in writing", "between folds"]
        while True:
            way = self.rng.choice(ways) if self.kills.total() < self.wanted else "not"
            status, said = self.attempt(run, way)
            if status == 0:
                return
            if status != -signal.SIGKILL:
                raise SystemExit(f"{run.name}: exit status {status}: {said}")
            if way == "between folds":
                ways.remove(way)  # once in a run, or it would never end
            states = sum(
                (run / f"fold-{fold}/last/state.safetensors").exists() for fold in range(FOLDS)
            )
            self.kills[way] += 1
            self.found[("no state", "a state of fold 0", "states of both folds")[states]] += 1
            print(f"kill {self.kills.total()}: {way}; {last_line(said)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    runs = same = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch))
        tally = Tally(place, asked.kills, asked.seed)
        expected = digests(place.folder / "whole")
        while tally.kills.total() < asked.kills:
            runs += 1
            tally.finish(place.folder / f"run-{runs}")
            same += digests(place.folder / f"run-{runs}") == expected
    print(
        f"whole run {tally.whole:.1f} s; {tally.kills.total()} kills {dict(tally.kills)}; left "
        f"{dict(tally.found)}"
    )
    print(
        f"{same} of {runs} runs that were killed and resumed end in the digests of the one that "
        f"was left alone"
    )
    raise SystemExit(same != runs)


if __name__ == "__main__":
    main()
