"""Claim: keeping freed memory speeds up training on a CPU and does not raise peak memory.

The same network trains on one batch that stays in memory, in two processes that take turns. One
lets glibc's malloc keep the memory that a step frees (`bestiary.training.malloc`); the other leaves
malloc as it is.

    python benchmarks/speed/kept_memory.py [--work resnext50@224 ...] [--rounds 5]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, ratios, report
from harness.record import record, recording
from harness.workload import WORKS

CLAIMS = {
    "kept-memory-speed": {
        "statement": "Keeping freed memory speeds up training on a CPU",
        "unit": "times as fast",
        "watches": ("src/bestiary/training/malloc.py",),
    },
}
COMMANDS = ("",)


COMPUTE = {
    "precision": "bf16",
    "channels_last": True,
    "compiled": False,
    "threads": os.cpu_count(),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs="+", default=list(WORKS), choices=WORKS)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(machine())
    for name in args.work:
        job = {**WORKS[name]._asdict(), "classes": 42, "arithmetic": COMPUTE}
        kept, usual = (
            Contender(title, "contenders.compute_only", {**job, "kept": keeps})
            for title, keeps in (("kept", True), ("as usual", False))
        )
        print(f"\n{name}, batch {job['batch']}, bf16, channels last")
        with tempfile.TemporaryDirectory() as scratch:
            speeds = compare([kept, usual], args.rounds, Path(scratch) / "log")
        report(speeds)
        rounds = ratios(speeds)["as usual"]
        details = {"images/s": speeds}
        record("kept-memory-speed", rounds, args.rounds, "rounds", case=name, details=details)


if __name__ == "__main__":
    recording(main, __file__)
