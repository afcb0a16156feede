"""Claim: a run that is killed at any instant and resumed ends in the same bits.

Trains small runs (drawn images, two folds of three epochs, a checkpoint every step or two) and
kills them by SIGKILL: at random times, while a checkpoint is written (the process kills itself
between two of the calls that make a file whole), and between folds. Each is resumed, mostly to be
killed again. At the end its weights, out-of-fold logits and scores are compared with those of an
uninterrupted run.

    OMP_NUM_THREADS=1 python benchmarks/reliability/kills.py [--kills 50] [--seed 0]
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bestiary.display import TrainingDisplay

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.faulting import FOLDS, Workspace, digests, last_line
from harness.record import record, recording

CLAIMS = {
    "kills-same-bits": {
        "statement": "A run that is killed at any instant and resumed ends in the same bits",
        "unit": "of the runs with the same digests",
        "bar": ("least", 1.0, "no kill may be lost work or other weights"),
        "watches": ("@checkpoints",),
    },
}
COMMANDS = ("OMP_NUM_THREADS=1",)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_writing(number: int) -> None:
    """Kill this process before (whole number) or after (a half more) a flush or rename."""
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

    os.fsync = counted(os.fsync)
    os.replace = counted(os.replace)


def die_between_folds() -> None:
    """Kill this process when the second fold begins."""
    start = TrainingDisplay.start_fold

    def starting(self, fold, *arguments):  # type: ignore[no-untyped-def]
        if fold == 1:
            die()
        start(self, fold, *arguments)

    TrainingDisplay.start_fold = starting  # type: ignore[method-assign]


class Tally:
    """Kills runs until there are enough kills.

    Attributes:
        kills: number by kind.
        left_on_disk: what the kills left to resume from.
    """

    def __init__(self, place: Workspace, kills_wanted: int, seed: int) -> None:
        self.place = place
        self.kills_wanted = kills_wanted
        self.rng = random.Random(seed)
        began = time.perf_counter()
        status, output = place.train(place.folder / "whole")
        self.uninterrupted = time.perf_counter() - began  # seconds
        if status:
            raise SystemExit(output)
        self.kills = Counter[str]()
        self.left_on_disk = Counter[str]()

    def attempt(self, run: Path, kind: str) -> tuple[int, str]:
        """Begin or resume `run`, and kill it in the given way."""
        if kind == "clock":
            return self.place.train(run, kill_after=self.rng.uniform(0, 0.7 * self.uninterrupted))
        if kind == "in writing":
            number = self.rng.randrange(2, 120) / 2
            return self.place.train(run, prepare=lambda: die_in_writing(number))
        return self.place.train(
            run, prepare=die_between_folds if kind == "between folds" else lambda: None
        )

    def finish(self, run: Path) -> None:
        """Kill and resume `run` until it ends."""
        kinds = ["clock", "clock", "clock", "in writing", "between folds"]
        while True:
            kind = self.rng.choice(kinds) if self.kills.total() < self.kills_wanted else "not"
            status, output = self.attempt(run, kind)
            if status == 0:
                return
            if status != -signal.SIGKILL:
                raise SystemExit(f"{run.name}: exit status {status}: {output}")
            if kind == "between folds":
                kinds.remove(kind)  # once in a run, or it would never end
            states = sum(
                (run / f"fold-{fold}/last/state.safetensors").exists() for fold in range(FOLDS)
            )
            self.kills[kind] += 1
            self.left_on_disk[
                ("no state", "a state of fold 0", "states of both folds")[states]
            ] += 1
            print(f"kill {self.kills.total()}: {kind}; {last_line(output)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    runs = same = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Workspace(Path(scratch))
        tally = Tally(place, args.kills, args.seed)
        expected = digests(place.folder / "whole")
        while tally.kills.total() < args.kills:
            runs += 1
            tally.finish(place.folder / f"run-{runs}")
            same += digests(place.folder / f"run-{runs}") == expected
    print(f"whole run {tally.uninterrupted:.1f} s; {tally.kills.total()} kills {dict(tally.kills)}")
    print(f"left on disk: {dict(tally.left_on_disk)}")
    print(f"{same} of {runs} runs that were killed and resumed end in the same digests")
    details = {"kills": dict(tally.kills)}
    data = ("drawn beasts", 48)
    record("kills-same-bits", same / runs, runs, "runs", details=details, data=data)
    raise SystemExit(same != runs)


if __name__ == "__main__":
    recording(main, __file__)
