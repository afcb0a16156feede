"""Claim: a network trained on bestiary's views is as accurate as one trained on views that
torchvision v2 samples.

Both draw their maps (mirror, rotation by up to 15 degrees, random resized crop) by the same random
numbers, for the same images in the same batches; only the sampling differs: bestiary averages and
warps the shrunk image of its store, torchvision's three functions follow each other on the whole
image in Pillow. Recipe `best` with those views, for each seed and way a network for each fold asked
for. Accuracy out of fold, paired by image; the 95 % interval is over images, whose hits are
averaged over the seeds.

    python benchmarks/bench_views_accuracy.py DATA [--size 96] [--epochs 4] [--seeds 0 1 2] [--only-fold 0 1] [--place DIR]
"""

import argparse
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
from paired import machine

VIEWS = ["view.rotation=15", "view.scale=[0.08,1.0]"]


def by_torchvision(pixels: Pixels, geometry: Geometry, size: int) -> Pixels:
    """The map as torchvision's three transforms apply it to a Pillow image, with their defaults."""
    image = Image.fromarray(pixels)
    if geometry.flip:
        image = functional.horizontal_flip(image)
    image = functional.rotate(image, geometry.angle)
    box = (geometry.top, geometry.left, geometry.height, geometry.width)
    view = functional.resized_crop(
        image, *box, [size, size], InterpolationMode.BILINEAR, antialias=True
    )
    return np.asarray(view, np.uint8)


def whole(data: TrainingSet, row: int) -> Pixels:
    """The image as it lies in the folder, not shrunk."""
    return decode(read_image(data.root / data.paths[int(row)]))


def hits(
    data: Path, place: Path, torchvision: bool, seed: int, asked: argparse.Namespace
) -> NDArray[np.float64]:
    """Whether each image of the folds held out is labeled right, in the order of their paths."""
    run = place / f"{'torchvision' if torchvision else 'bestiary'}-{seed}"
    options = [
        *VIEWS,
        f"view.size={asked.size}",
        f"train.epochs={asked.epochs}",
        f"train.seed={seed}",
        *asked.set,
    ]
    with ExitStack() as patches:
        if torchvision:
            patches.enter_context(patch("bestiary.data.views.apply_geometry", by_torchvision))
            patches.enter_context(patch.object(TrainingSet, "pixels_of", whole))
        if not (run / f"fold-{asked.fold[-1]}" / "oof.parquet").exists():
            bestiary.train(
                data, run, recipe="best", overrides=options, only_fold=asked.fold, quiet=True
            )
    classes = bestiary.Run(run).read_classes()
    table = pl.concat(
        pl.read_parquet(run / f"fold-{fold}" / "oof.parquet") for fold in asked.fold
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
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.place or Path(scratch)
        pairs = [
            [hits(asked.data, place, way, seed, asked) for way in (False, True)]
            for seed in asked.seeds
        ]
    ours, theirs = np.mean(pairs, axis=0)
    for seed, (own, other) in zip(asked.seeds, pairs, strict=True):
        print(f"seed {seed}: bestiary's views {own.mean():.4f}, torchvision's {other.mean():.4f}")
    change, half = ours - theirs, Z95 * float((ours - theirs).std(ddof=1)) / len(ours) ** 0.5
    print(
        f"{asked.size} pixels, {asked.epochs} epochs: bestiary's views {ours.mean():.4f}, "
        f"torchvision's "
        f"{theirs.mean():.4f}, difference {change.mean():+.4f} [{change.mean() - half:+.4f}, "
        f"{change.mean() + half:+.4f}], {len(ours)} images, {len(pairs)} seeds"
    )


if __name__ == "__main__":
    main()
