"""Other ways to fine-tune than `best`: is one of them more often right, on the same fold?

    python benchmarks/accuracy/tuning_ways.py [DATA] [--size 96] [--seed 0] [--way NAME ...]

`best` trains on one half of the images and is judged by the other; each other way differs in one
thing. Sharpness-aware steps (Foret et al. 2021, arXiv:2010.01412) climb by RHO along the gradient,
and take the gradient there, at twice the cost of a step. BitFit (Ben Zaken et al. 2022,
arXiv:2106.10199) trains the biases, the scales of norms and the head alone. Label smoothing and an
average of the weights along training are options; the latter takes the place of the average with
the initial weights, so that is left out alone too. Random erasing (Zhong et al. 2020,
arXiv:1708.04896) fills a rectangle of a fourth of the training views with the mean color, as timm's
does. What is no option is a patch of this script: it is tried, not offered. Without DATA, on drawn
beasts of 60 species in close genera.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bestiary.beasts.sample import draw_sample
from bestiary.data import views
from bestiary.data.decode import Pixels
from bestiary.model.classifier import Classifier
from bestiary.recipe.choices import Augment
from bestiary.recipe.sections import ModelOptions
from bestiary.stats.paired import paired_difference
from bestiary.training import fold_setup, loop

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.best_against_probe import hits_of
from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "other-ways-to-tune": {
        "statement": "What other ways to fine-tune are worth",
        "unit": "difference of accuracy to `best`",
        "watches": ("@best",),
    },
}
COMMANDS = ("--size 96", "{data}")
RHO = 0.05
OVERRIDES = {
    "best": [],
    "label smoothing of 0.1": ["loss.label_smoothing=0.1"],
    "none of the initial weights": ["train.wise_ft=0"],
    "average of the weights (EMA 0.99) in their place": ["train.ema=0.99", "train.wise_ft=0"],
    "BitFit": ["optimizer.layer_decay=1", "optimizer.decay_norm_and_bias=false"],
    "sharpness-aware steps": [],
    "random erasing": [],
}
MEAN_COLOR = np.array([124, 116, 104], np.uint8)  # of ImageNet
ERASED = (0.02, 1 / 3)  # least and largest share of the view
ERASED_RATIO = (0.3, 1 / 0.3)  # of width to height
ERASED_VIEWS = 0.25


@contextmanager
def sharpness_aware() -> Iterator[None]:
    """Take each gradient a little uphill from the weights."""
    plain = loop.backward

    def uphill(state: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        loss = plain(state, *arguments, **options)
        weights = [one for one in state.classifier.parameters() if one.grad is not None]
        norm = torch.stack([one.grad.norm() for one in weights]).norm() + 1e-12
        climbs = [RHO / norm * one.grad for one in weights]
        with torch.no_grad():
            for weight, climb in zip(weights, climbs, strict=True):
                weight += climb
        state.optimizer.zero_grad()
        plain(state, *arguments, **options)
        with torch.no_grad():
            for weight, climb in zip(weights, climbs, strict=True):
                weight -= climb
        return loss

    loop.backward = uphill
    try:
        yield
    finally:
        loop.backward = plain


@contextmanager
def bias_only() -> Iterator[None]:
    """Freeze all weights but biases, the scales of norms, and the head."""
    plain = fold_setup.freeze

    def freeze(classifier: Classifier, options: ModelOptions) -> None:
        plain(classifier, options)
        head = {id(one) for one in classifier.head_layer.parameters()}
        for weight in classifier.parameters():
            if weight.ndim > 1 and id(weight) not in head:
                weight.requires_grad_(False)

    fold_setup.freeze = freeze
    try:
        yield
    finally:
        fold_setup.freeze = plain


@contextmanager
def random_erasing() -> Iterator[None]:
    """Fill a rectangle of some training views."""
    plain = views.augment

    def erase(view: Pixels, kind: Augment, rng: np.random.Generator) -> Pixels:
        changed = plain(view, kind, rng).copy()
        if rng.random() < ERASED_VIEWS:
            box = views.draw_crop(*changed.shape[:2], ERASED, ERASED_RATIO, rng)
            top, left, height, width = box
            changed[top : top + height, left : left + width] = MEAN_COLOR
        return changed

    views.augment = erase
    try:
        yield
    finally:
        views.augment = plain


PATCHES = {
    "sharpness-aware steps": sharpness_aware,
    "BitFit": bias_only,
    "random erasing": random_erasing,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--way", nargs="+", default=list(OVERRIDES)[1:], choices=OVERRIDES)
    parser.add_argument("--set", dest="also", nargs="*", default=[])
    parser.add_argument("--place", type=Path, help="keeps the runs, and continues them")
    args = parser.parse_args()
    args.folds, args.only_fold = 2, [0]
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        data, place = args.data, args.place or Path(scratch)
        if data is None:
            data = place / "beasts"
        if args.data is None and not data.exists():
            draw_sample(data, species=60, per_species=24, size=160, seed=5)
        found = {}
        for number, way in enumerate(OVERRIDES):
            if way != "best" and way not in args.way:
                continue
            args.overrides = [*OVERRIDES[way], *args.also]
            with PATCHES.get(way, nullcontext)():
                hits = hits_of(data, place / f"way-{number}", "best", args)
            found[way] = np.array([hits[path] for path in sorted(hits)])
            print(f"{way}: {found[way].mean():.4f} of {len(hits)}", flush=True)
    best = found.pop("best")
    groups = np.arange(len(best))
    changes = {way: paired_difference(best, hits, groups) for way, hits in found.items()}
    name = args.data.name if args.data else "drawn beasts of 60 species"
    # A part of the ways is a case of its own, beside the record of the others.
    ways = "" if len(changes) == len(OVERRIDES) - 1 else f", {', '.join(changes)}"
    record(
        "other-ways-to-tune",
        {way: (of.value, of.low, of.high) for way, of in changes.items()},
        len(best),
        "images",
        case=f"{name}, {args.size} px{ways}",
        spread="95 % interval",
        details={
            "accuracy": {"best": best.mean(), **{way: of.mean() for way, of in found.items()}},
            "images won": {way: of.wins for way, of in changes.items()},
            "images lost": {way: of.losses for way, of in changes.items()},
        },
        data=args.data or (name, len(best)),
        note="One fold of two, one seed.",
    )


if __name__ == "__main__":
    recording(main, __file__)
