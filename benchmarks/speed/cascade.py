"""Claim: with --cascade, a run of several views and members predicts faster, at the risk asked for.

Trains five members of a recipe on a part of the images. They predict the rest with and without the
cascade in turns, each turn another folder. `evaluate` then tells what both answer on all the rest:
how many images stop, how many of those are wrong, and the accuracies.

    python benchmarks/speed/cascade.py DATA [--recipe probe] [--risk 0.05] [--rounds 5]
                                       [--images 100] [--known 800] [--run FOLDER]

--run uses an existing run of several members.
"""

import sys
import tempfile
from pathlib import Path

import polars as pl

import bestiary
from bestiary.data.listing import list_labeled

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, spread
from harness.record import record, recording
from speed.predict import split_arguments, split_data, train_members

CLAIMS = {
    "cascade-speed": {
        "statement": "Images that one view of one member is enough for make prediction faster",
        "unit": "times the speed of all views and members",
        "watches": (
            "@predicting",
            "src/bestiary/evaluation/cascading.py",
            "src/bestiary/stats/cascade.py",
        ),
    },
}
COMMANDS = ("{data} --recipe probe",)


def scores(run: Path, data: Path, known: Path, place: Path, risk: float) -> dict[str, float]:
    """Score both ways on every image that the run was not trained on."""
    table = list_labeled(data).table.select("path", "label")
    rest = place / "rest.csv"
    table.join(pl.read_csv(known), on="path", how="anti").write_csv(rest)
    root = [f"data.root={data.resolve()}"]
    judged = bestiary.evaluate(run, rest, overrides=root, cascade=risk, quiet=True)
    cascade = judged.scores["cascade"]
    return {
        "images": judged.scores["n"],
        "share that stops": cascade["stopped"],
        "wrong of those": cascade["wrong"],
        "accuracy with the cascade": cascade["accuracy"],
        "accuracy of all views and members": cascade["all_members"],
        "one view is enough": float(cascade["first_view"]),
    }


def main() -> None:
    parser = split_arguments(__doc__)
    parser.set_defaults(images=100, known=800)
    parser.add_argument("--recipe", default="probe")
    parser.add_argument("--risk", type=float, default=0.05)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        known, folders = split_data(args.data, place, args.rounds, args.images, args.known)
        run = args.run or train_members(args.data, known, place, args.recipe)
        job = {"run": str(run), "folders": folders, "scratch": scratch}
        contenders = [
            Contender(name, "contenders.predict_bestiary", {**job, **more})
            for name, more in (("cascade", {"cascade": args.risk}), ("all", {}))
        ]
        speeds = compare(contenders, args.rounds, place / "log")
        details = scores(run, args.data, known, place, args.risk)
    gains = [a / b for a, b in zip(speeds["cascade"], speeds["all"], strict=True)]
    print(f"{args.recipe} at risk {args.risk:g}: {spread(gains)} times as fast; {details}")
    record(
        "cascade-speed",
        gains,
        args.rounds,
        "rounds",
        case=f"{args.recipe}, risk {args.risk:g}",
        details={"images/s": speeds, "on new images": details},
        data=args.data,
    )


if __name__ == "__main__":
    recording(main, __file__)
