"""Claim: five members predict a folder several times as fast as the course report's test loop.

Trains five members on a part of the photographs (recipe `fast`, the head alone). bestiary and the
report's loop (image by image, float32, five networks) predict the rest at 224 pixels in turns,
each turn another folder. Loading the run is not timed, but printed. Bars: at least 5 times as fast;
top-1 agreement at least 99.5 %.

    python benchmarks/speed/predict.py DATA [--rounds 5] [--images 150] [--backbone NAME]
                                       [--weights W] [--run FOLDER]

--run uses an existing run of five members. Networks without pretrained weights can be timed with
--backbone torchvision/resnet50 --weights none; their labels are chance, so that agreement means
little.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import polars as pl

import bestiary
from bestiary.data.listing import list_labeled
from bestiary.model.classifier import build_classifier, load_member
from bestiary.rng import keyed_rng
from bestiary.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import Contender, compare, machine, ratios, report
from harness.record import record, recording

CLAIMS = {
    "predict-against-described": {
        "statement": (
            "Five members predict a folder several times as fast as the course report's test loop"
        ),
        "unit": "times as fast",
        "bar": (
            "least",
            5.0,
            "five float32 networks, image by image, are the course report's loop",
        ),
        "watches": ("@predicting",),
    },
    "predict-agreement": {
        "statement": "Fast prediction gives the labels of the course report's loop",
        "unit": "of the labels equal",
        "bar": ("least", 0.995, "the engine may compute in bf16"),
        "watches": ("@predicting",),
    },
}
COMMANDS = ("{data}",)


MEMBERS = 5


def split_arguments(description: str | None) -> argparse.ArgumentParser:
    """The arguments of a benchmark that trains on a part of the images and predicts the rest."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=150, help="images a round")
    parser.add_argument("--known", type=int, default=600, help="images to train the members on")
    parser.add_argument("--run", type=Path, help="use this run's members")
    return parser


def split_data(
    data: Path, place: Path, rounds: int, images: int, known: int
) -> tuple[Path, list[str]]:
    """Split the data: a table of `known` images to train on, a folder of others for each turn."""
    table = list_labeled(data).table.select("path", "label")
    table = table[keyed_rng(0, "predict").permutation(table.height)]
    folders = []
    for number in range(rounds + 1):
        count = images if number else 8
        goal = place / f"turn-{number}"
        rows = table.head(count)
        table = table.tail(table.height - count)
        goal.mkdir()
        for index, path in enumerate(rows["path"]):
            (goal / f"{index:05d}.jpg").symlink_to((data / path).resolve())
        folders.append(str(goal))
    table.head(known).write_csv(place / "known.csv")
    return place / "known.csv", folders


def train_members(data: Path, known: Path, place: Path, recipe: str) -> Path:
    """Train a run of five members by a recipe as it is."""
    overrides = [f"data.root={data.resolve()}", "folds.rare_classes=keep"]
    run = place / "run"
    bestiary.train(known, run, recipe=recipe, overrides=overrides, folds=MEMBERS, quiet=True)
    return run


def train(data: Path, known: Path, place: Path, backbone: str, weights: str) -> Path:
    """Train a run whose members have heads of their own on a shared frozen network."""
    stages = len(build_classifier(backbone, 2, "none").stages())
    overrides = [
        f"data.root={data.resolve()}",
        f"model.backbone={backbone}",
        f"model.weights={weights}",
    ]
    overrides += [
        f"model.freeze={stages - 1}",
        "train.epochs=1",
        "predict.tta=1",
        "folds.rare_classes=keep",
    ]
    bestiary.train(
        known, place / "run", recipe="fast", overrides=overrides, folds=MEMBERS, quiet=True
    )
    return place / "run"


def agreement(place: Path, folders: list[str]) -> tuple[int, int]:
    """The number of equal labels, and of all labels."""
    tables = [
        pl.read_csv(
            # The first of a folder: a disturbed turn is repeated, and has a table of its own.
            [min(place.glob(f"{Path(folder).name}-{ending}")) for folder in folders],
            columns=["path", "label"],
        )
        for ending in ("[0-9]*-[0-9]*.csv", "described.csv")  # process and turn of ours
    ]
    return int((tables[0]["label"] == tables[1]["label"]).sum()), tables[0].height


def main() -> None:
    parser = split_arguments(__doc__)
    parser.add_argument("--backbone", default="offline/efficientnet_lite0")
    parser.add_argument("--weights", default="default")
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        known, folders = split_data(args.data, place, args.rounds, args.images, args.known)
        run = Run.open(args.run or train(args.data, known, place, args.backbone, args.weights))
        backbone = load_member(run.fold(0).weights).name
        job = {
            "run": str(run.path),
            "folders": folders,
            "scratch": scratch,
            "size": 224,
            "classes": run.read_classes(),
        }
        print(f"{MEMBERS} members of {backbone}, {args.images} images a round")
        ours = Contender("bestiary", "contenders.predict_bestiary", job)
        theirs = Contender("course report's loop", "contenders.predict_described", job)
        speeds = compare([ours, theirs], args.rounds, place / "log")
        report(speeds)
        same, of = agreement(place, folders[1:])
        print(f"top-1 agreement {same / of:.4f} ({same} of {of})")
        rounds = ratios(speeds)["course report's loop"]
        details = {"images/s": speeds}
        name = "predict-against-described"
        record(name, rounds, args.rounds, "rounds", case=backbone, details=details, data=args.data)
        record("predict-agreement", same / of, of, "images", case=backbone, data=args.data)


if __name__ == "__main__":
    recording(main, __file__)
