"""Claim: `bestiary --help` answers in at most 0.35 s.

Starts a new process each time, after one that is not counted. An empty Python shows the share of
the interpreter.

    python benchmarks/bench_startup.py [--rounds 11]
"""

import argparse
import subprocess
import sys
import time

from paired import machine, spread


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    commands = {"bestiary --help": ["-m", "bestiary", "--help"], "empty Python": ["-c", ""]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(args.rounds + 1):
        for name, arguments in commands.items():
            taken = seconds(arguments)
            if number:
                times[name].append(taken)
    print(machine())
    for name, taken in times.items():
        print(f"{name}: {spread(taken)} s, n = {len(taken)}")


if __name__ == "__main__":
    main()
