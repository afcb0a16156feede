"""Claim: a network trained from random weights reaches the accuracy of published methods.

The 1,797 handwritten digits of 8 x 8 pixels in scikit-learn are the test part of Alpaydin and
Kaynak's dataset (1998, Optical Recognition of Handwritten Digits, UCI). They report 0.980 for the
nearest neighbor among 3,823 digits of other writers. Here a ResNet-18 and, on the same folds, the
nearest neighbor and a support vector machine of the raw pixels (scikit-learn's own example: gamma
0.001) are scored out of fold. Writers are not separated, so that the nearest neighbor should do
somewhat better than there.

    python benchmarks/accuracy/scratch.py [--seeds 0 1 2] [--epochs 10] [--set KEY=VALUE ...]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import bestiary
from bestiary.run.oof import read_oof

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine, spread
from harness.record import record, recording

CLAIMS = {
    "from-scratch": {
        "statement": "A network from random weights reads digits as well as usual methods",
        "unit": "accuracy",
        "watches": (
            "src/bestiary/recipe/shipped/paper.toml",
            "src/bestiary/training/loop.py",
        ),
    },
}
COMMANDS = ("",)


# Mirrored digits are not digits. The other options are usual for a network of this kind.
OPTIONS = [
    "model.backbone=torchvision/resnet18",
    "model.weights=none",
    "view.size=32",
    "view.flip=0",
]
OPTIONS += [
    "view.scale=[0.6,1.0]",
    "mix.probability=0.5",
    "optimizer.lr=1e-3",
    "schedule.kind=cosine",
]
OPTIONS += ["schedule.warmup=0.1", "train.keep_best=false"]
METHODS = {"nearest neighbor": KNeighborsClassifier(1), "support vectors": SVC(gamma=0.001)}


def write_digits(folder: Path) -> dict[str, int]:
    """Write each digit as an image; returns path below `folder` -> index."""
    index_of = {}
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = f"{label}/{number:04d}.png"
        index_of[path] = number
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(folder / path)
    return index_of


def reference_accuracy(method: ClassifierMixin, folds: list[np.ndarray]) -> float:
    """Out-of-fold accuracy of a method of scikit-learn on the same folds."""
    digits = load_digits()
    hits = 0
    for held_out in folds:
        train = np.setdiff1d(np.concatenate(folds), held_out)
        hits += int(
            (
                method.fit(digits.data[train], digits.target[train]).predict(digits.data[held_out])
                == digits.target[held_out]
            ).sum()
        )
    return hits / sum(map(len, folds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    accuracies_of: dict[str, list[float]] = {name: [] for name in ("network", *METHODS)}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        index_of = write_digits(place / "digits")
        for seed in args.seeds:
            options = [
                *OPTIONS,
                f"train.epochs={args.epochs}",
                f"train.seed={seed}",
                f"folds.seed={seed}",
            ]
            run = bestiary.train(
                place / "digits",
                place / f"run-{seed}",
                recipe="paper",
                overrides=[*options, *args.overrides],
                quiet=True,
            )
            accuracies_of["network"].append(
                float(run.read_json("metrics.json")["oof"]["accuracy"]["value"])
            )
            folds = [
                np.array([index_of[path] for path in read_oof(run.fold(fold))[0]["path"]])
                for fold in run.fold_numbers()
            ]
            for name, method in METHODS.items():
                accuracies_of[name].append(reference_accuracy(method, folds))
            last = ", ".join(f"{name} {of[-1]:.4f}" for name, of in accuracies_of.items())
            print(f"seed {seed}: {last}", flush=True)
    print(
        f"{machine()}\n{len(index_of):,} digits, five folds, {args.epochs} epochs, out-of-fold "
        f"accuracy"
    )
    for name, accuracies in accuracies_of.items():
        print(f"{name}: {spread(accuracies)}")
    data = ("digits of scikit-learn", len(index_of))
    record("from-scratch", accuracies_of, len(args.seeds), "seeds", data=data)


if __name__ == "__main__":
    recording(main, __file__)
