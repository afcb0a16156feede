"""Claim: `bestiary --help` answers in at most 0.35 s.

A new process each time, after one that is not counted; an empty Python beside it says what of that
is the interpreter.

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
    asked = parser.parse_args()
    commands = {"bestiary --help": ["-m", "bestiary", "--help"], "empty Python": ["-c", ""]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(asked.rounds + 1):
        for name, arguments in commands.items():
            taken = seconds(arguments)
            if number:
                times[name].append(taken)
    print(machine())
    for name, taken in times.items():
        print(f"{name}: {spread(taken)} s, n = {len(taken)}")


if __name__ == "__main__":
    main()
