"""Claim: large batches are predicted faster by streams than by all cores together, same bits.

A run's members score the same images in memory, in turns: all cores on each batch, as OpenVINO's
hint LATENCY has it, and a stream a core on parts of it (`bestiary.model.streams`). Bar: at least
1.05 times the images a second with the machine to itself, and more where another program takes a
core; the same logits.

    python benchmarks/speed/streams.py DATA [--run RUN] [--images 192] [--rounds 7]
"""

import argparse
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np

import bestiary
from bestiary.model import streams

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, ratios, report
from harness.record import record, recording

CLAIMS = {
    "streams-speed": {
        "statement": "A stream a core predicts faster than all cores together on each batch",
        "unit": "of the speed of all cores together",
        "bar": ("least", 1.05, "a second compiled network has to pay"),
        "watches": ("src/bestiary/model/streams.py", "src/bestiary/model/openvino_runtime.py"),
    },
    "streams-bits": {
        "statement": "Streams give the same logits",
        "unit": "largest difference of a logit",
        "bar": ("most", 0, "the engine alone decides the answers"),
        "watches": ("src/bestiary/model/streams.py",),
    },
}
COMMANDS = ("{data}",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, help="use this run's members")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(machine())
    files = sorted(path for path in args.data.rglob("*") if path.suffix in (".jpg", ".jpeg"))
    step = max(1, len(files) // args.images)
    contents = [path.read_bytes() for path in islice(files, 0, args.images * step, step)]

    with tempfile.TemporaryDirectory() as scratch:
        run = args.run or bestiary.probe(args.data, Path(scratch) / "run", quiet=True).path
        measure(run, args, contents)


def measure(run: Path, args: argparse.Namespace, contents: list[bytes]) -> None:
    """Score the images in turns, and record the ratio."""
    with mock.patch.object(streams, "cores", lambda: len(contents)):  # no batch is large
        contenders = {"together": bestiary.load(run)}
    contenders["streams"] = bestiary.load(run)
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
    speeds = dict(reversed(speeds.items()))
    report(speeds)
    faster = ratios(speeds)["together"]
    record(
        "streams-speed",
        faster,
        len(faster),
        "interleaved rounds",
        details={"images/s": speeds},
        data=args.data,
    )
    difference = float(np.abs(logits["together"] - logits["streams"]).max())
    print(
        f"largest difference of a logit: {difference:g} of {np.abs(logits['together']).max():.1f}"
    )
    record("streams-bits", difference, len(contents), "images", data=args.data)


if __name__ == "__main__":
    recording(main, __file__)
