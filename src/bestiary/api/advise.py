"""The verb that says what to train before anything is trained: advise."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place

if TYPE_CHECKING:
    from bestiary.advising.advice import Advice

# images that heads are judged by, at most: minutes for the slowest backbone, half-widths of 2
# points
JUDGED = 1000
CANDIDATES = {
    "cpu": (
        "offline/efficientnet_lite0@160",
        "offline/efficientnet_lite0@224",
        "offline/efficientnet_lite1@240",
        "offline/efficientnet_lite2@260",
        "torchvision/resnet18@224",
        "torchvision/resnet50@224",
    ),
    "gpu": (
        "offline/efficientnet_lite2@260",
        "torchvision/resnet50@224",
        "torchvision/resnext101_64x4d@224",
        "torchvision/convnext_base@224",
        "timm/seresnextaa101d_32x8d.sw_in12k_ft_in1k_288@256",
    ),
}


def advise(
    data: Place,
    /,
    *,
    budget: str | None = None,
    latency: str | None = None,
    backbones: Annotated[Sequence[str], Many] = (),
    recipe: Place | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "Advice":
    """Recommend a backbone, its size and epochs for these images and this machine, with the command
    to paste.

    A few training steps and predictions are timed for each backbone and size, and a head on the
    frozen network is judged out of fold where its weights are at hand: nothing is fetched. Takes a
    few minutes; what was computed is kept for train. Exit status: 0, or 1 when nothing fits.

    Parameters ---------- data Folder of class folders, or a table, as for train. budget Time that
    training may take, such as 90s, 30min or 2h. latency Time that the members may take for one
    image, such as 50ms. backbones Backbones to measure, each as NAME or NAME@SIZE. Default: a few
    for a CPU, or for a GPU. recipe Whose other options hold: best, best-gpu, paper, fast, or the
    path of a TOML file. Default: best, or best-gpu where there is a GPU. overrides Options of the
    recipe as section.key=value; see bestiary train --help. quiet Show no progress.
    """
    from bestiary.advising.advice import Advice, Candidate, recommend
    from bestiary.advising.probing import draw_part, probe_hits
    from bestiary.advising.speeds import busy_cores, measure_reading, measure_speed
    from bestiary.api.durations import parse_duration
    from bestiary.data.audit import audit_images
    from bestiary.data.listing import list_labeled, list_test
    from bestiary.data.views import EvalView
    from bestiary.display import Display
    from bestiary.model.backbone import weights_are_here
    from bestiary.model.compute import best_device
    from bestiary.recipe.defaults import default_recipe
    from bestiary.training.request import check_image_sizes

    busy = busy_cores()
    base, display, place = (
        str(recipe or default_recipe(best_device().type)),
        Display(quiet),
        Path(data),
    )
    within = parse_duration(budget, "--budget") if budget else None
    at_most = parse_duration(latency, "--latency") if latency else None
    names = backbones or CANDIDATES["cpu" if best_device().type == "cpu" else "gpu"]
    recipes = [recipe_of(name, base, overrides) for name in names]
    for asked in recipes:
        check_image_sizes(asked)
    here = [weights_are_here(asked.model.backbone) for asked in recipes]
    listing = list_labeled(place, recipes[0].data.root)
    manifest = audit_images(listing, list_test(place, recipes[0].data.root), display).manifest
    table, groups = draw_part(manifest, JUDGED)
    files = [manifest.root / path for path in table["path"]]
    if busy > 0.5:
        display.notice(
            f"Other programs keep {busy:.1f} cores busy: times will look longer than they are"
        )
    candidates = []
    for asked, at_hand in zip(recipes, here, strict=True):
        display.line(
            f"{asked.model.backbone} at {asked.view.size} "
            f"pixels{'' if at_hand else ': time alone, no weights'}"
        )
        speed = measure_speed(asked, len(manifest.classes))
        reading = measure_reading(files, EvalView.of(asked.view, "bilinear"))
        hits = probe_hits(asked, manifest, table, groups, display) if at_hand else None
        candidates.append(Candidate(asked, speed, reading, hits))
    images = manifest.table.height
    chosen = recommend(candidates, images, groups, within, at_most)
    return Advice(place, images, groups, candidates, within, at_most, chosen, base)


def recipe_of(name: str, base: str, overrides: Sequence[str]) -> Any:
    """The recipe `base` with the backbone and size of ``NAME`` or ``NAME@SIZE``, with its
    pretrained weights.
    """
    from bestiary.model.classifier import count_stages
    from bestiary.recipe.load import load_recipe

    backbone, _, size = name.partition("@")
    sized = [f"view.size={size}", "view.eval_size=0"] if size else []
    own = load_recipe(base, overrides)
    # As large a share of the stages is frozen as of the recipe's own backbone.
    stages = {of: count_stages(of) for of in (own.model.backbone, backbone)}
    frozen = min(
        round(own.model.freeze * stages[backbone] / stages[own.model.backbone]),
        stages[backbone] - 1,
    )
    chosen = [f'model.backbone="{backbone}"', "model.weights=default", f"model.freeze={frozen}"]
    return load_recipe(base, [*overrides, *chosen, *sized])
