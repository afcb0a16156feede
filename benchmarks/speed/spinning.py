"""Claim: threads that stop waiting soon cost a CPU nothing alone, and save much beside other work.

PyTorch divides each operation among OpenMP threads. A thread without work spins before it sleeps:
GNU OpenMP lets it turn 300,000 times, so that on a busy machine it holds a core which the thread
that it waits for needs. bestiary's command line sets 30,000 turns. The same training takes
turns with several counts: alone, and beside a program that multiplies matrices with all threads.

    python benchmarks/speed/spinning.py [DATA] [--work resnext50@224 ...] [--rounds 5]
                                        [--counts 30000 300000]
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.cli.environment import SPIN_COUNT, SPINS

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, ratios, report
from harness.record import record, recording
from harness.workload import WORKS, lay_out_job, work_parser

CLAIMS = {
    "spinning-threads": {
        "statement": "Threads that soon sleep train as fast alone, and faster beside other work",
        "unit": "times as fast as with PyTorch's own",
        "bar": ("least", 0.97, "alone; 1 beside a program that is busy too"),
        "watches": ("src/bestiary/cli/environment.py",),
    },
}
COMMANDS = ("{data}",)
USUAL = "300000"  # of GNU OpenMP
BUSY = """
import torch
matrix = torch.ones(512, 512)
while True:
    matrix @ matrix
"""


def main() -> None:
    parser = work_parser(__doc__, ["efficientnet_lite0@224", "resnet18@64"])
    parser.add_argument("--counts", nargs="+", default=[SPINS, USUAL])
    parser.add_argument("--where", nargs="+", default=["alone", "beside"])
    args = parser.parse_args()
    print(machine())
    for name in args.work:
        for where in args.where:
            print(f"\n{name}, {where}")
            measure(name, where, args)


def measure(name: str, where: str, args: argparse.Namespace) -> None:
    """Let the counts take turns, alone or beside a busy program, and record their speeds."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        job = lay_out_job(WORKS[name], args.data, place, args.images)
        wanted = []
        for count in args.counts:
            own = place / count
            own.mkdir()
            wanted.append(
                Contender(
                    count,
                    "contenders.with_bestiary",
                    {**job, "scratch": str(own), "set": ["train.compile=never"]},
                    environment={SPIN_COUNT: count},
                )
            )
        with busy(where == "beside"):
            speeds = compare(wanted, args.rounds, place / "log")
    report(speeds)
    for count in args.counts[:-1]:
        pair = {count: speeds[count], args.counts[-1]: speeds[args.counts[-1]]}
        (rounds,) = ratios(pair).values()
        record(
            "spinning-threads",
            rounds,
            len(rounds),
            "rounds",
            case=f"{name}, {where}, {count} turns",
            bar=0.97 if where == "alone" else 1.0,
            details={"images/s": pair},
            data=args.data or ("drawn beasts", job["images"]),
        )


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """A program beside ours that uses all threads; nothing where it is not wanted."""
    if not wanted:
        yield
        return
    program = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        program.kill()
        program.wait()


if __name__ == "__main__":
    recording(main, __file__)
