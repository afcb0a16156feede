"""Claim: large batches are predicted faster by streams than by all cores together, same bits.

A run's members score the same images in memory, in turns: all cores on each batch, as OpenVINO's
hint LATENCY has it, and a stream a core on parts of it (`bestiary.model.streams`). Bar: at least
1.05 times the images a second with the machine to itself, and more where another program takes a
core; the same logits.

    python benchmarks/bench_streams.py RUN DATA [--images 192] [--rounds 7]
"""

import argparse
import time
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np

import bestiary
from bestiary.model import streams
from paired import machine, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(machine())
    files = sorted(path for path in args.data.rglob("*") if path.suffix in (".jpg", ".jpeg"))
    step = max(1, len(files) // args.images)
    contents = [path.read_bytes() for path in islice(files, 0, args.images * step, step)]

    with mock.patch.object(streams, "cores", lambda: len(contents)):  # no batch is large
        contenders = {"together": bestiary.load(args.run)}
    contenders["streams"] = bestiary.load(args.run)
    logits = {}
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(args.rounds + 1):  # the first is not counted
        for name, ensemble in contenders.items():
            started = time.perf_counter()
            scored = [scored.readable for scored in ensemble.iter_logits(contents)]
            seconds = time.perf_counter() - started
            logits[name] = np.concatenate(scored, axis=1)
            if turn:
                speeds[name].append(len(contents) / seconds)
    report(dict(reversed(speeds.items())))
    difference = np.abs(logits["together"] - logits["streams"]).max()
    print(
        f"largest difference of a logit: {difference:g} of {np.abs(logits['together']).max():.1f}"
    )


if __name__ == "__main__":
    main()
