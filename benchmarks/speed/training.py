"""Claim: training costs little more than its arithmetic, far less than the course report's loop.

bestiary trains from a folder of JPEGs of 500 x 375 (recipe `paper`, from its second epoch on, when
its store is filled), in turns with (a) the same network, precision and layout on one batch that
stays in memory, and (b) the course report's loop: Pillow, torchvision's transforms, DataLoader,
float32, NCHW. Bars: at least 0.97 of (a) for each; at least 2.5 times (b) for resnext50@224 and 2
times for resnet18@128.

    python benchmarks/speed/training.py [DATA] [--work resnext50@224 ...] [--rounds 5]
                                        [--against compute described]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, ratios, report
from harness.record import record, recording
from harness.workload import WORKS, command_environment, lay_out_job, work_parser

CLAIMS = {
    "train-against-compute": {
        "statement": "Training from files costs little more than its arithmetic",
        "unit": "of the speed on one resident batch",
        "bar": ("least", 0.97, "what loading, views and bookkeeping may take"),
        "watches": ("@training",),
    },
    "train-against-described": {
        "statement": "Training is far faster than the course report's loop",
        "unit": "times as fast",
        "bar": ("least", 2.0, "2.5 for ResNeXt-50 at 224 pixels, whose arithmetic binds"),
        "watches": ("@training",),
    },
}
COMMANDS = ("{data}",)


def main() -> None:
    parser = work_parser(__doc__, ["resnext50@224", "resnet18@128"])
    parser.add_argument(
        "--against", nargs="+", default=["compute", "described"], choices=["compute", "described"]
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="of the DataLoader of the course report's loop"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        help="options of bestiary's recipe, such as train.compile=always",
    )
    args = parser.parse_args()
    print(machine())
    for name in args.work:
        work = WORKS[name]
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            job = lay_out_job(work, args.data, place, args.images)
            images = job["images"]
            environment = command_environment()
            others = {
                "compute": Contender(
                    "compute only", "contenders.compute_only", job, environment=environment
                ),
                "described": Contender(
                    "course report's loop", "contenders.described", {**job, "workers": args.workers}
                ),
            }
            ours = Contender(
                "bestiary",
                "contenders.with_bestiary",
                {**job, "scratch": scratch, "set": args.set},
                environment=environment,
            )
            print(
                f"\n{name}, batch {work.batch}, {images} images an epoch, {job['classes']} classes"
            )
            wanted = [ours, *(others[key] for key in args.against)]
            speeds = compare(wanted, args.rounds, place / "log")
            report(speeds)
            record_speeds(name, speeds, args.data or ("drawn beasts", images))


def record_speeds(name: str, speeds: dict[str, list[float]], data: Path | tuple[str, int]) -> None:
    claims = {
        "compute only": ("train-against-compute", None),
        "course report's loop": (
            "train-against-described",
            2.5 if name == "resnext50@224" else None,
        ),
    }
    for other, rounds in ratios(speeds).items():
        claim, bar = claims[other]
        details = {"images/s": {key: speeds[key] for key in ("bestiary", other)}}
        n = len(rounds)
        record(claim, rounds, n, "rounds", case=name, bar=bar, details=details, data=data)


if __name__ == "__main__":
    recording(main, __file__)
