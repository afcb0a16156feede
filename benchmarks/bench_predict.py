"""Claim: five members predict a folder several times as fast as the described system's test loop,
with the same labels.

Five members are trained on a part of the photographs (recipe `fast`, the head alone); the rest is
predicted at 224 pixels in turns by bestiary and by the described loop (image by image, float32,
five networks), each turn another folder. Loading the run is not timed, and is printed. Bars: at
least 5 times; top-1 agreement at least 99.5 %.

    python benchmarks/bench_predict.py DATA [--rounds 5] [--images 150] [--backbone NAME] [--run FOLDER]

With --run, five members that exist are used. Networks without pretrained weights can be timed with
--backbone torchvision/resnet50 --weights none; their labels are chance and their agreement means
little.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

import bestiary
from bestiary.data.listing import list_labeled
from bestiary.model.classifier import build_classifier, load_member
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from paired import Contender, compare, machine, report

MEMBERS = 5


def part(data: Path, place: Path, rounds: int, images: int, known: int) -> tuple[Path, list[str]]:
    """A table of `known` images to train on, and folders of `images` others each: one to warm
    up, one a round.
    """
    table = list_labeled(data).table.select("path", "label")
    table = table[keyed_rng(0, "predict").permutation(table.height)]
    folders = []
    for number in range(rounds + 1):
        count = images if number else 8
        goal, rows = place / f"turn-{number}", table.head(count)
        table = table.tail(table.height - count)
        goal.mkdir()
        for place_in_row, path in enumerate(rows["path"]):
            (goal / f"{place_in_row:05d}.jpg").symlink_to((data / path).resolve())
        folders.append(str(goal))
    table.head(known).write_csv(place / "known.csv")
    return place / "known.csv", folders


def train(data: Path, known: Path, place: Path, backbone: str, weights: str) -> Path:
    """A run whose members have a head of their own on a common, frozen network."""
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
    """How many labels agree, of how many."""
    tables = [
        pl.read_csv(
            [place / f"{Path(f).name}-{who}.csv" for f in folders], columns=["path", "label"]
        )
        for who in ("bestiary", "described")
    ]
    return int((tables[0]["label"] == tables[1]["label"]).sum()), tables[0].height


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=150, help="images a round")
    parser.add_argument("--known", type=int, default=600, help="images to train the members on")
    parser.add_argument("--backbone", default="offline/efficientnet_lite0")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--run", type=Path, help="use this run's members")
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        known, folders = part(asked.data, place, asked.rounds, asked.images, asked.known)
        run = Run.open(asked.run or train(asked.data, known, place, asked.backbone, asked.weights))
        backbone = load_member(run.fold(0).weights).name
        job = {
            "run": str(run.path),
            "folders": folders,
            "scratch": scratch,
            "size": 224,
            "classes": run.read_classes(),
        }
        print(f"{MEMBERS} members of {backbone}, {asked.images} images a round")
        ours = Contender("bestiary", "contenders.predict_bestiary", job)
        theirs = Contender("described loop", "contenders.predict_described", job)
        report(compare([ours, theirs], asked.rounds, place / "log"))
        same, of = agreement(place, folders[1:])
        print(f"top-1 agreement {same / of:.4f} ({same} of {of})")


if __name__ == "__main__":
    main()
