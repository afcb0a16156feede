"""Claim: bestiary trains faster than timm, torchvision's references, Ultralytics and fastai.

All train on the same JPEGs of 500 x 375. Each peer runs (a) as its documentation says and (b) with
its fastest documented flags; the top of its file in contenders/ says what that means. bestiary does
all of recipe `paper` (rotation, MixUp or CutMix on every batch, AdamW); what a peer leaves out of
that is to its advantage. Bars: (a) at least 1.5 times the best; (b) at least 1.0 times the best for
resnext50@224, 1.2 for efficientnet_lite0@224 and 1.3 for resnet18@64.

    pip install 'bestiary[bench]'
    python benchmarks/speed/peers.py [DATA] [--work resnet18@64 ...]
                                     [--flags documented fastest] [--peers timm ...]
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, ratios, report, spread
from harness.record import record, recording
from harness.workload import WORKS, command_environment, lay_out_job, work_parser

CLAIMS = {
    "train-against-peers": {
        "statement": "Training is at least as fast as the fastest peer",
        "unit": "times as fast",
        "bar": (
            "least",
            1.2,
            (
                "against each peer: 1.2 or 1.3 with its fastest flags, 1.1 where arithmetic binds,"
                " 1.5 as documented"
            ),
        ),
        "watches": ("@training",),
    },
}
COMMANDS = ("{data} --peer-python {peers}",)


PEERS = ("timm", "torchvision", "ultralytics", "fastai")
TORCHVISIONS_NETWORKS = ("torchvision", "ultralytics")  # peers that train no other


# Of the fastest flags: where loading binds, where arithmetic does, and where steps have shortcuts
BARS = {
    ("resnet18@64", "fastest"): 1.3,
    ("resnext50@224", "fastest"): 1.1,
    ("efficientnet_lite0@224", "fastest"): 1.2,
}


def main() -> None:
    parser = work_parser(__doc__, ["resnext50@224", "resnet18@64"])
    parser.add_argument(
        "--flags", nargs="+", default=["documented", "fastest"], help="also fastest-pure, for timm"
    )
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count(),
        help="of the peers' loaders, with fastest flags",
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has the peers"
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
        left_out = [peer for peer in args.peers if work.timm and peer in TORCHVISIONS_NETWORKS]
        names = [peer for peer in args.peers if peer not in left_out]
        for peer in left_out:
            print(f"{name}: {peer} is left out, its networks are torchvision's")
        for flags in args.flags:
            with tempfile.TemporaryDirectory() as scratch:
                place = Path(scratch)
                job = lay_out_job(work, args.data, place, args.images) | {
                    "scratch": scratch,
                    "variant": flags,
                    "workers": args.workers,
                    "set": args.set,
                }
                ours = Contender(
                    "bestiary", "contenders.with_bestiary", job, environment=command_environment()
                )
                peers = [Contender(p, f"contenders.with_{p}", job, args.peer_python) for p in names]
                print(
                    f"\n{name}, batch {work.batch}, {job['images']} images an epoch, peers with "
                    f"{flags} flags"
                )
                speeds = compare([ours, *peers], args.rounds, place / "log")
            report(speeds)
            best = max(names, key=lambda peer: statistics.median(speeds[peer]))
            against = ratios(speeds)
            print(f"against the best, {best}: {spread(against[best])}")
            record(
                "train-against-peers",
                against,
                args.rounds,
                "rounds",
                case=f"{name}, {flags} flags",
                bar=BARS.get((name, flags), 1.5),
                details={"images/s": speeds},
                data=args.data or ("drawn beasts", job["images"]),
            )


if __name__ == "__main__":
    recording(main, __file__)
