"""Claim: five members that share a network predict a folder nearly as fast as one of them.

Trains five members on a part of the images by a recipe. All five and the first of them alone
predict the rest in turns, each turn another folder, with the recipe's views. Bars, in images/s of
five over those of one: `probe` >= 0.9, `fast` >= 0.45.

    python benchmarks/speed/members.py DATA [--recipe probe] [--rounds 5] [--images 150]
                                       [--known 600] [--run FOLDER]

--run uses an existing run of five members.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, spread
from harness.record import record, recording
from speed.predict import MEMBERS, split_arguments, split_data, train_members

CLAIMS = {
    "members-share-network": {
        "statement": "Five members that share a network predict nearly as fast as one",
        "unit": "of one member's speed",
        "bar": (
            "least",
            0.9,
            "0.9 for probe, whose members differ in their heads alone; 0.45 for fast",
        ),
        "watches": ("@predicting",),
    },
}
COMMANDS = (
    "{data} --recipe probe",
    "{data} --recipe fast",
)


BARS = {"probe": 0.9, "fast": 0.45}


def main() -> None:
    parser = split_arguments(__doc__)
    parser.add_argument("--recipe", default="probe", choices=BARS)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        known, folders = split_data(args.data, place, args.rounds, args.images, args.known)
        run = args.run or train_members(args.data, known, place, args.recipe)
        job = {"run": str(run), "folders": folders, "scratch": scratch}
        contenders = [
            Contender(name, "contenders.predict_bestiary", {**job, "members": count})
            for name, count in (("five members", MEMBERS), ("one member", 1))
        ]
        speeds = compare(contenders, args.rounds, place / "log")
    five, one = speeds.values()
    for name, values in speeds.items():
        print(f"{name}: {spread(values)} images/s, n = {len(values)}")
    shares = [a / b for a, b in zip(five, one, strict=True)]
    print(f"{args.recipe}, five members / one: {spread(shares)}; bar {BARS[args.recipe]}")
    record(
        "members-share-network",
        shares,
        args.rounds,
        "rounds",
        case=args.recipe,
        bar=BARS[args.recipe],
        details={"images/s": speeds},
        data=args.data,
    )


if __name__ == "__main__":
    recording(main, __file__)
