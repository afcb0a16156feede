"""Claim: what each choice of test-time augmentation gains out of fold, and what it costs.

    python benchmarks/accuracy/views_at_test.py DATA [--size 224] [--share 0.875]
                                             [--backbone offline/efficientnet_lite0]

Frozen features of each view, and bestiary's folds (near duplicates in one fold) for several seeds
of the assignment. For each fold a linear discriminant, as recipe `probe` fits it, of features
averaged over the views (averaging logits is the same, as the head is linear). Crops come from
three sources: the evaluation view, enlarged (`of view`); a larger evaluation view, of which they
are slices while the whole is shrunk (`of larger view`); and the image itself (`of image`). The
first two are functions of one view, so that the network's own graph can make them; the third needs
a resize for each crop. Differences are paired with the plain view's, over the seeds' folds of the
same images. The cost is that of the network: its passes for an image.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.data.eval_view import EvalView
from bestiary.data.folds import assign_folds
from bestiary.data.loader import loader_threads, stream_views
from bestiary.data.resize import resize
from bestiary.model.classifier import build_classifier
from bestiary.model.compute import best_precision
from bestiary.model.device import best_device
from bestiary.model.engine import build_network
from bestiary.stats.paired import paired_difference

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.frozen import FOLDS, cross_validate, read_data
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "views-at-test": {
        "statement": "Five views of an image raise accuracy",
        "unit": "difference of accuracy to one view",
        "watches": (
            "src/bestiary/model/tta.py",
            "src/bestiary/data/eval_view.py",
        ),
    },
}
COMMANDS = ("{data}",)


Features = NDArray[np.float32]
SEEDS = range(3)  # of the deal
CORNERS = ("top left", "top right", "bottom left", "bottom right")
SOURCES = ("view", "larger view", "image")
BOTH = ("whole", "whole m")


def choices() -> dict[str, tuple[str, ...]]:
    """Name -> the views whose features are averaged; " m" marks a mirror image."""
    chosen: dict[str, tuple[str, ...]] = {"plain": BOTH[:1], "plain, mirror": BOTH}
    for source in SOURCES:
        whole = "whole of larger view" if source == "larger view" else "whole"
        a, b, c, d = (f"{corner} of {source}" for corner in CORNERS)
        chosen |= {
            f"center and corners of {source}": (f"center of {source}", a, b, c, d),
            f"whole and corners of {source}": (whole, a, b, c, d),
            f"whole and corners of {source}, two mirrored": (whole, a, f"{b} m", f"{c} m", d),
        }
    return chosen


def crop(pixels: Pixels, place: str, share: float, size: int) -> Pixels:
    """The crop of `share` of both sides at a corner or the center, resized to `size` x `size`."""
    height, width = pixels.shape[:2]
    crop_height = round(height * share)
    crop_width = round(width * share)
    top = (
        0
        if place.startswith("top")
        else height - crop_height
        if place.startswith("bottom")
        else (height - crop_height) // 2
    )
    left = (
        0
        if place.endswith("left")
        else width - crop_width
        if place.endswith("right")
        else (width - crop_width) // 2
    )
    return resize(
        np.ascontiguousarray(pixels[top : top + crop_height, left : left + crop_width]), size, size
    )


def shrunk(view: Pixels, size: int) -> Pixels:
    """A view resized to `size` x `size` by interpolation alone."""
    batch = torch.from_numpy(view).permute(2, 0, 1)[None].float()
    small = functional.interpolate(batch, (size, size), mode="bilinear")
    return small.round().to(torch.uint8)[0].permute(1, 2, 0).numpy()


def views_of(size: int, share: float) -> dict[str, Callable[[Pixels], Pixels]]:
    """Name -> function from an image to that view of it."""
    whole = EvalView(size)
    larger = EvalView(round(size / share))
    functions: dict[str, Callable[[Pixels], Pixels]] = {"whole": whole}
    functions["whole of larger view"] = lambda p: shrunk(larger(p), size)
    for place in ("center", *CORNERS):
        functions[f"{place} of view"] = lambda p, at=place: crop(whole(p), at, share, size)
        functions[f"{place} of image"] = lambda p, at=place: crop(p, at, share, size)
        functions[f"{place} of larger view"] = lambda p, at=place: crop(
            larger(p), at, size / larger.size, size
        )
    return functions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument(
        "--share", type=float, default=0.875, help="of both sides that a crop keeps"
    )
    parser.add_argument("--backbone", default="offline/efficientnet_lite0")
    args = parser.parse_args()
    data, groups = read_data(args.data)
    device = best_device()
    classes = len(data.classes)
    classifier = (
        build_classifier(args.backbone, classes)
        .to(device, memory_format=torch.channels_last)
        .eval()
    )
    run = build_network(
        classifier, args.size, device, best_precision(device), output="features"
    ).run
    print(machine())
    print(f"{len(data.paths):,} images of {classes} classes")
    print(f"{args.backbone} at {args.size} pixels, crops of {args.share}")

    features: dict[str, Features] = {}
    needed = {name for names in choices().values() for name in names}
    for name, view in views_of(args.size, args.share).items():
        parts: dict[str, list[Features]] = {m: [] for m in ("", " m") if f"{name}{m}" in needed}

        def view_of(row: int, view: Callable[[Pixels], Pixels] = view) -> Pixels:
            return view(
                decode(read_image(data.root / data.paths[int(row)]), min_side=2 * args.size)
            )

        for batch in stream_views(
            np.arange(len(data.paths)), 32, view_of, loader_threads(device.type)
        ):
            for m, part in parts.items():
                part.append(run(batch.flip(2) if m else batch))
        features |= {f"{name}{m}": np.concatenate(part) for m, part in parts.items()}

    folds = [
        assign_folds(data.paths, pl.Series(data.labels), groups, FOLDS, seed) for seed in SEEDS
    ]
    base: list[NDArray[np.bool_]] = []
    changes, accuracies = {}, {}
    for name, names in choices().items():
        x = np.mean([features[view] for view in names], axis=0)
        hits = [
            cross_validate(x, data.labels, fold, x[:0], classes)[0].argmax(axis=1) == data.labels
            for fold in folds
        ]
        base = base or hits
        change = [paired_difference(a, b, groups) for a, b in zip(base, hits, strict=True)]
        means = [float(h.mean()) for h in hits]
        print(
            f"{np.mean(means):.4f} ({min(means):.4f} to {max(means):.4f})"
            f"  {np.mean([c.value for c in change]):+.4f} "
            f"[{np.mean([c.low for c in change]):+.4f}, "
            f"{np.mean([c.high for c in change]):+.4f}]  {len(names):2} passes  {name}"
        )
        ends = ("value", "low", "high")
        changes[name] = tuple(np.mean([getattr(c, end) for c in change]) for end in ends)
        accuracies[name] = means
    record(
        "views-at-test",
        changes,
        len(folds),
        "ways to fold",
        spread="mean 95 % interval",
        details={
            "accuracy": accuracies,
            "passes of the network for an image": {
                name: len(names) for name, names in choices().items()
            },
        },
        data=args.data,
    )


if __name__ == "__main__":
    recording(main, __file__)
