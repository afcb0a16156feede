"""What the user asked for by --budget -> its seconds and the recipe that fine-tunes, checked.

Knows nothing of trials.
"""

from collections.abc import Sequence
from pathlib import Path

from bestiary.display import Display
from bestiary.errors import ArgumentError, alternatives
from bestiary.model.device import best_device
from bestiary.model.image_sizes import with_own_size
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import parse_override
from bestiary.training.distributed import World
from bestiary.training.request import check_requirements, choose_default_recipe

AUTO = "auto"
BUDGETS = ("10min", "30min", "2h", AUTO)
"""What ``--budget`` of `train` takes, as an error names it."""
DEFAULT_SECONDS = {"cpu": 1800.0, "cuda": 900.0}
"""Device type -> the budget that ``--budget auto`` stands for; other devices: that of a CPU."""
LEAST_SECONDS = 10.0
CHOSEN_OPTIONS = ("train.epochs", "train.wise_ft", "train.keep_best")
"""Options of the recipe that a budget chooses or relies on."""


def check_seconds(text: str, seconds: float) -> float:
    """Check the length of a budget.

    Args:
        text: as the user wrote it.
        seconds: its length.

    Raises:
        ArgumentError: it is too short for anything.

    Example:
        >>> check_seconds("30min", 1800.0)
        1800.0
    """
    if seconds < LEAST_SECONDS:
        raise ArgumentError(
            f"--budget {text}: is not a time that can be kept; give {alternatives(BUDGETS)}"
        )
    return seconds


def default_seconds() -> float:
    """Return the budget that ``auto`` stands for on this device."""
    return DEFAULT_SECONDS.get(best_device().type, DEFAULT_SECONDS["cpu"])


def check_arguments(
    overrides: Sequence[str],
    only_fold: Sequence[int],
    processes: int,
    cluster: str | None,
) -> None:
    """Refuse what contradicts a budget.

    Args:
        overrides: as in `bestiary.train`, like the following arguments.
        only_fold: numbers of the folds to train.
        processes: of this machine.
        cluster: address of a Ray cluster.

    Raises:
        ArgumentError: one of them is not possible within a budget.
    """
    if only_fold:
        raise ArgumentError(
            f"--only-fold {only_fold[0]}: --budget is for all folds; leave one of them out"
        )
    if processes != 1:
        raise ArgumentError(
            f"--processes {processes}: --budget works in one process; leave one of them out"
        )
    if cluster is not None:
        raise ArgumentError(
            f"--cluster {cluster}: --budget works on one machine; leave one of them out"
        )
    for override in overrides:
        name = ".".join(parse_override(override)[:2])
        if name in CHOSEN_OPTIONS:
            raise ArgumentError(f"--set {override}: --budget chooses {name}; leave one of them out")


def check_single_process(world: World) -> None:
    """Refuse ranks that torchrun, srun or another launcher has started.

    Args:
        world: the ranks of this training.

    Raises:
        ArgumentError: there are several.
    """
    if world.size > 1:
        raise ArgumentError(
            f"--budget: works in one process, but {world.size} were started; start one, or leave "
            "--budget out"
        )


def load_tuning_recipe(
    recipe: str | Path | None, overrides: Sequence[str], display: Display
) -> tuple[str | Path, Recipe]:
    """Load the recipe of which the trials are variants.

    Args:
        recipe: name or file; None: this device's default.
        overrides: options of the recipe as section.key=value.
        display: says so if the weights of the default cannot be had.

    Returns:
        The name or file, and the recipe.

    Raises:
        ArgumentError: the recipe fits no head.
        RecipeError: an override is not valid, or the recipe cannot fine-tune its network.
        WeightsError: the backbone is unknown, or with LoRA its weights are not available.
    """
    source = recipe or choose_default_recipe(overrides, display)
    # Trials are compared, so all keep the recipe's batch.
    loaded = with_own_size(load_recipe(source, [*overrides, "train.batch_growth=1"]))
    if not loaded.model.fits_head:
        raise ArgumentError(
            f"--recipe {source}: its model.head is random, and --budget begins with fitted heads; "
            "add --set model.head=lda"
        )
    if loaded.model.lora:  # before the heads, which would not miss what it needs
        check_requirements(loaded.with_values({"train.epochs": 1}))
    return source, loaded
