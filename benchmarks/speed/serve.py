"""Claim: under load a service reaches 95 % of the offline speed, and its memory does not grow.

64 clients send requests to `bestiary serve`, one image at a time each, in turns with the same
ensemble scoring the same files in memory. The clients run on the same cores as the service. Their
share is printed but not credited to the service: the offline engine has the machine to itself.
Bars: median ratio at least 0.95; no status but 200; memory at the end of a turn within 2 % of ten
seconds into the first.

Where other programs run too, CPU time says more than images a second: the same ratio of images to
CPU seconds of the processes (including the clients) is printed too.

    python benchmarks/speed/serve.py [DATA] [--run FOLDER] [--rounds 3] [--seconds 60]
                                     [--clients 64]

JPEGs of 500 x 375, of DATA or of drawn beasts. Without --run, five members are trained on 300 of
them (`probe`).
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import bestiary

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, ratios, report, spread
from harness.record import record, recording
from harness.workload import lay_out

CLAIMS = {
    "serve-throughput": {
        "statement": "A service under load reaches the speed of the offline engine",
        "unit": "of the offline engine's speed",
        "bar": ("least", 0.95, "HTTP and the clients share its cores"),
        "watches": (
            "src/bestiary/serving/*.py",
            "src/bestiary/model/engine.py",
            "src/bestiary/model/openvino_runtime.py",
            "src/bestiary/model/streams.py",
        ),
    },
    "serve-refusals": {
        "statement": "A service under load refuses nobody",
        "unit": "answers with another status than 200",
        "bar": ("most", 0, "a client never sees an error that is not its own"),
        "watches": ("src/bestiary/serving/*.py",),
    },
    "serve-memory": {
        "statement": "The memory of a service does not grow",
        "unit": "of the memory early in the first turn",
        "bar": ("most", 1.02, "a leak would show"),
        "watches": ("src/bestiary/serving/*.py",),
    },
}
COMMANDS = ("{data}",)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--run", type=Path, help="use this run's members")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        lay_out(args.data, place, 300)
        run = args.run or bestiary.probe(place / "train", place / "run", quiet=True).path
        files = sorted(str(file) for file in (place / "train").rglob("*.jpg"))[:256]
        job = {
            "run": str(run),
            "files": files,
            "seconds": args.seconds,
            "notes": str(place / "notes"),
        }
        job["offline_notes"] = str(place / "offline")
        served = Contender("served", "contenders.serve_http", {**job, "clients": args.clients})
        offline_engine = Contender("offline", "contenders.serve_offline", job)
        speeds = compare([served, offline_engine], args.rounds, place / "log")
        report(speeds)
        notes, offline = (
            [json.loads(line) for line in (place / name).read_text().splitlines()]
            for name in ("notes", "offline")
        )
    print("statuses:", *(note["statuses"] for note in notes))
    print(
        f"seconds to an answer: median {spread([n['p50'] for n in notes])}, 99 % "
        f"{spread([n['p99'] for n in notes])}"
    )
    served_cpu = [
        (note["cpu"] + note["client_cores"] * note["seconds"]) / note["statuses"]["200"]
        for note in notes
    ]
    offline_cpu = [note["cpu"] for note in offline]
    print(
        f"CPU seconds an image: served, clients included {spread(served_cpu)}, "
        f"offline {spread(offline_cpu)}"
    )
    print(
        f"images to CPU seconds, served to offline: "
        f"{statistics.median(offline_cpu) / statistics.median(served_cpu):.3f}"
    )
    print(f"cores that the clients took: {spread([note['client_cores'] for note in notes])}")
    first = notes[0]["memory_mb"][min(2, len(notes[0]["memory_mb"]) - 1)]
    ends = [note["memory_mb"][-1] for note in notes]
    print(
        f"memory of the server in MB: {first:.0f} early in the first turn, at the ends",
        *(f"{end:.0f}" for end in ends),
    )
    data = args.data or ("drawn beasts", 300)
    statuses = [note["statuses"] for note in notes]
    answers = sum(sum(of.values()) for of in statuses)
    refused = answers - sum(of.get("200", 0) for of in statuses)
    details = {
        "images/s": speeds,
        "s to an answer": {"median": [n["p50"] for n in notes], "99 %": [n["p99"] for n in notes]},
    }
    rounds = ratios(speeds)["offline"]
    record("serve-throughput", rounds, args.rounds, "rounds", details=details, data=data)
    record("serve-refusals", refused, answers, "answers", data=data)
    sizes = {"MB": {"early": first, "at the ends": ends}}
    record("serve-memory", [end / first for end in ends], args.rounds, "rounds", details=sizes)


if __name__ == "__main__":
    recording(main, __file__)
