"""The verb `advise`: which backbone, size and epochs to train, measured before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, with_short_ways
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from bestiary.advising.advice import Advice, Candidate
    from bestiary.data.manifest import Manifest
    from bestiary.display import Display
    from bestiary.recipe.options import Recipe

# Most images that heads are evaluated on: minutes for the slowest backbone, and intervals of about
# 2 points to either side.
MAX_PROBED_IMAGES = 1000
BACKBONES = {
    "cpu": (
        "offline/efficientnet_lite0@160",
        "offline/efficientnet_lite0@224",
        "offline/efficientnet_lite1@240",
        "offline/efficientnet_lite2@260",
        "torchvision/resnet18@224",
        "torchvision/resnet50@224",
    ),
    "gpu": (
        "offline/efficientnet_lite0@224",
        "offline/efficientnet_lite2@260",
        "torchvision/resnet50@224",
        "torchvision/resnext101_64x4d@224",
        "torchvision/convnext_base@224",
        "timm/seresnextaa101d_32x8d.sw_in12k_ft_in1k_288@256",
    ),
}
"""Backbones to measure where the user names none, as NAME@SIZE."""


@checked_arguments
def advise(
    data: Location,
    /,
    *,
    budget: str | None = None,
    latency: str | None = None,
    backbones: Annotated[Sequence[str], Many] = (),
    recipe: Location | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: int | None = None,
    quiet: bool = False,
) -> "Advice":
    """Recommend a backbone, its size and epochs for these images.

    Times a few training steps and predictions of each backbone and size. Where its
    weights are on this machine, also scores a head on the frozen network out of fold.
    Nothing is downloaded. Takes a few minutes, and train uses what is cached. Prints
    the command to use. Exit status: 0, or 1 if nothing fits.

    Parameters
    ----------
    data
        Folder of class folders, or a table, as for train.
    budget
        Most time for training, such as 90s, 30min or 2h.
    latency
        Most time for the members to predict one image, such as 50ms.
    backbones
        Backbones to measure, each as NAME or NAME@SIZE. Default: a few for a CPU, or for
        a GPU.
    recipe
        Recipe of the other options: best, best-gpu, paper, fast, foundation, or the path of
        a TOML file. Default: best, or best-gpu where there is a GPU.
    overrides
        Options of the recipe as section.key=value, which bestiary options lists.
    folds
        Number of folds; the recipe's folds.n.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> advice = bestiary.advise("images", backbones=["timm/test_resnet@32"], quiet=True)
    >>> len(advice.candidates)
    1
    """
    from bestiary.advising.advice import Advice, recommend
    from bestiary.advising.probing import draw_images
    from bestiary.api.durations import parse_duration
    from bestiary.cores import machine_load
    from bestiary.data.audit import audit_images
    from bestiary.data.class_counts import count_classes, imbalance
    from bestiary.data.listing import list_labeled
    from bestiary.display import Display
    from bestiary.model.device import best_device
    from bestiary.recipe.defaults import default_recipe
    from bestiary.training.request import check_image_sizes

    # Check the arguments before anything is read.
    overrides = with_short_ways(overrides, folds=folds)
    busy = machine_load().describe()
    device_type = best_device().type
    base = str(recipe or default_recipe(device_type))
    display = Display(quiet)
    max_seconds = max_latency = None
    if budget is not None:
        max_seconds = parse_duration(budget, "--budget", ("90s", "30min", "2h"))
    if latency is not None:
        max_latency = parse_duration(latency, "--latency", ("50ms", "0.5s"))
    names = backbones or BACKBONES["cpu" if device_type == "cpu" else "gpu"]
    recipes = [recipe_with_backbone(name, base, overrides) for name in names]
    for candidate_recipe in recipes:
        check_image_sizes(candidate_recipe)

    # Read the images, and draw those that heads are evaluated on.
    manifest = audit_images(list_labeled(data, recipes[0].data), display).manifest
    table, groups = draw_images(manifest, MAX_PROBED_IMAGES)

    # Measure every candidate and recommend one.
    if busy:
        display.notice(f"{busy[:1].upper()}{busy[1:]}: times will look longer than they are")
    candidates = [_measure(one, manifest, table, groups, display) for one in recipes]
    images = manifest.table.height
    chosen = recommend(candidates, images, groups, max_seconds, max_latency)
    return Advice(
        Path(data),
        images,
        groups,
        candidates,
        max_seconds,
        max_latency,
        chosen,
        base,
        imbalance(count_classes(manifest.table["label"])),
        overrides,
    )


def _measure(
    recipe: "Recipe",
    manifest: "Manifest",
    table: "pl.DataFrame",
    groups: "NDArray[np.int64]",
    display: "Display",
) -> "Candidate":
    """Time a backbone, and score its head where its weights are on this machine."""
    from bestiary.advising.advice import Candidate
    from bestiary.advising.probing import probe_hits
    from bestiary.advising.speeds import measure_reading, measure_speed
    from bestiary.data.eval_view import EvalView
    from bestiary.model.backbone import weights_are_local
    from bestiary.training.prepare import resolve_white

    has_weights = weights_are_local(recipe.model.backbone)
    note = "" if has_weights else ": time alone, no weights"
    display.line(f"{recipe.model.backbone} at {recipe.view.size} pixels{note}")
    files = [manifest.root / path for path in table["path"]]
    resolved = resolve_white(recipe, manifest.white)
    speed = measure_speed(recipe, len(manifest.classes))
    reading = measure_reading(files, EvalView.of(resolved.view, "bilinear"))
    hits = probe_hits(resolved, manifest, table, groups, display) if has_weights else None
    return Candidate(recipe, speed, reading, hits)


def recipe_with_backbone(name: str, base: str, overrides: Sequence[str]) -> "Recipe":
    """Load a recipe with another backbone, its pretrained weights and another size.

    Args:
        name: the backbone as ``NAME`` or ``NAME@SIZE``.
        base: name or file of the recipe.
        overrides: options of the recipe, each ``section.key=value``.
    """
    from bestiary.model.classifier import count_stages
    from bestiary.model.image_sizes import with_own_size
    from bestiary.recipe.load import load_recipe

    backbone, _, size = name.partition("@")
    recipe = load_recipe(base, overrides)
    # Freeze the same share of the stages as in the recipe's own backbone, but never all of them.
    own_stages = count_stages(recipe.model.backbone)
    stages = count_stages(backbone)
    freeze = min(round(recipe.model.freeze * stages / own_stages), stages - 1)
    changes = [
        f'model.backbone="{backbone}"',
        "model.weights=default",
        f"model.freeze={freeze}",
    ]
    if size:
        changes += [f"view.size={size}", "view.eval_size=0"]
    return with_own_size(load_recipe(base, [*overrides, *changes]))
