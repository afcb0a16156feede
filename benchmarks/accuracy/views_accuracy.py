"""Claim: training on bestiary's views is as accurate as on views that torchvision v2 samples.

Both draw their maps (mirror, rotation by up to 15 degrees, random resized crop) from the same
random numbers, for the same images in the same batches. Only the sampling differs: bestiary
averages and warps the shrunk image of its store; torchvision's three functions are applied one
after the other to the whole image in Pillow. Recipe `best` with those views, one network for each
seed, sampler and requested fold. Out-of-fold accuracy is paired by image; the 95 % interval is over
images, whose hits are averaged over the seeds.

    python benchmarks/accuracy/views_accuracy.py DATA [--size 96] [--epochs 4] [--seeds 0 1 2]
                                              [--only-fold 0 1] [--place DIR]
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

import bestiary
from bestiary.data.decode import Pixels, decode, read_image
from bestiary.data.views import Geometry
from bestiary.stats.intervals import Z95
from bestiary.training.dataset import TrainingSet

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "views-accuracy": {
        "statement": "Training on bestiary's fast views is not worse than on torchvision's",
        "unit": "difference of accuracy",
        "bar": ("least", 0.0, "not worse"),
        "watches": (
            "src/bestiary/data/views.py",
            "src/bestiary/data/resize.py",
        ),
    },
}
COMMANDS = ("{data}",)


VIEWS = ["view.rotation=15", "view.scale=[0.08,1.0]"]


def by_torchvision(pixels: Pixels, geometry: Geometry, size: int) -> Pixels:
    """Apply the map as torchvision's three transforms do to a Pillow image, by default."""
    image = Image.fromarray(pixels)
    if geometry.flip:
        image = functional.horizontal_flip(image)
    image = functional.rotate(image, geometry.angle)
    box = (geometry.top, geometry.left, geometry.height, geometry.width)
    view = functional.resized_crop(
        image, *box, [size, size], InterpolationMode.BILINEAR, antialias=True
    )
    return np.asarray(view, np.uint8)


def full_image(data: TrainingSet, row: int) -> Pixels:
    """The image of the folder, not shrunk."""
    return decode(read_image(data.root / data.paths[int(row)]))


def hits(
    data: Path, place: Path, torchvision: bool, seed: int, args: argparse.Namespace
) -> NDArray[np.float64]:
    """Whether each image of the held-out folds is right, in the order of their paths."""
    run = place / f"{'torchvision' if torchvision else 'bestiary'}-{seed}"
    options = [
        *VIEWS,
        f"view.size={args.size}",
        f"train.epochs={args.epochs}",
        f"train.seed={seed}",
        *args.set,
    ]
    with ExitStack() as patches:
        if torchvision:
            patches.enter_context(patch("bestiary.data.views.apply_geometry", by_torchvision))
            patches.enter_context(patch.object(TrainingSet, "pixels_of", full_image))
        if not (run / f"fold-{args.fold[-1]}" / "oof.parquet").exists():
            bestiary.train(
                data, run, recipe="best", overrides=options, only_fold=args.fold, quiet=True
            )
    classes = bestiary.Run(run).read_classes()
    table = pl.concat(
        pl.read_parquet(run / f"fold-{fold}" / "oof.parquet") for fold in args.fold
    ).sort("path")
    return np.array(classes)[table["logits"].to_numpy().argmax(axis=1)] == table["label"].to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only-fold", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--place", type=Path)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = args.place or Path(scratch)
        pairs = [
            [hits(args.data, place, way, seed, args) for way in (False, True)]
            for seed in args.seeds
        ]
    ours, theirs = np.mean(pairs, axis=0)
    for seed, (own, other) in zip(args.seeds, pairs, strict=True):
        print(f"seed {seed}: bestiary's views {own.mean():.4f}, torchvision's {other.mean():.4f}")
    change = ours - theirs
    half = Z95 * float((ours - theirs).std(ddof=1)) / len(ours) ** 0.5
    print(
        f"{args.size} pixels, {args.epochs} epochs: bestiary's views {ours.mean():.4f}, "
        f"torchvision's "
        f"{theirs.mean():.4f}, difference {change.mean():+.4f} [{change.mean() - half:+.4f}, "
        f"{change.mean() + half:+.4f}], {len(ours)} images, {len(pairs)} seeds"
    )
    mean = change.mean()
    scores = {
        "bestiary's views": [own.mean() for own, _ in pairs],
        "torchvision's": [other.mean() for _, other in pairs],
    }
    record(
        "views-accuracy",
        (mean, mean - half, mean + half),
        len(pairs),
        "seeds",
        case=f"{args.size} px",
        spread="95 % interval over images",
        details={"accuracy": scores},
        data=args.data,
    )


if __name__ == "__main__":
    recording(main, __file__)
