"""Request for training: what the user asked for -> a run to train, new or resumed.

Checks the arguments, the recipe, the backbone and the trackers before any image is read. An
existing run is never overwritten. Does not know training.
"""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from bestiary.data.eval_view import white_of
from bestiary.data.listing import root_of
from bestiary.details import detail
from bestiary.display import Display
from bestiary.errors import ArgumentError, RecipeError, RunError, WeightsError
from bestiary.model.backbone import build_backbone, weights_are_local
from bestiary.model.classifier import build_classifier
from bestiary.model.device import best_device
from bestiary.model.freezing import freeze
from bestiary.model.hub import hub_answers
from bestiary.model.image_sizes import input_size_errors, with_own_size
from bestiary.model.lora import add_lora
from bestiary.model.undrawn import Undrawn
from bestiary.printable import shell_name
from bestiary.recipe.defaults import DEFAULT_RECIPE, default_recipe
from bestiary.recipe.load import load_data_options, load_recipe
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import parse_override
from bestiary.run.layout import FOLDS, RECIPE
from bestiary.run.run import Run
from bestiary.training.batch_growth import grow_batch, grown_like
from bestiary.training.prepare import begin_run, resolve_white
from bestiary.training.tracking.start import check_trackers
from bestiary.training.unlabeled import check_takes_unlabeled

MAX_SHOWN_LENGTH = 1000  # characters of a recorded folder in a message; a run may hold any text
USUAL_SIDES = (*range(32, 513, 32), 299, 518)  # pixels; the nearest valid one is suggested


def begin_or_resume(
    data: str | Path,
    path: Path,
    recipe: str | Path | None,
    overrides: Sequence[str],
    folds: str | int | None,
    only_fold: Sequence[int],
    resume: bool,
    display: Display,
    fixes: Path | None = None,
    not_duplicates: Path | None = None,
    before_reading: Callable[[], object] | None = None,
    unlabeled: Path | None = None,
) -> Run:
    """Begin a new run, or open an existing one to resume it.

    Args:
        data: as in `bestiary.train`, like the following arguments.
        path: folder of the run.
        recipe: name or file; None: the default.
        overrides: options of the recipe as section.key=value.
        folds: number of folds, or a file.
        only_fold: numbers of the folds to train; empty: all.
        resume: whether the run may exist.
        display: shows the progress.
        fixes: table of decided labels.
        not_duplicates: table of decided pairs.
        before_reading: called once the request is known to be valid, before the images of a new run
            are read.
        unlabeled: images without labels that heads learn from too.

    Returns:
        The run.

    Raises:
        RunError: the folder holds something else, or a run and `resume` is false.
        RecipeError: the recipe is not valid, or names a tracker that cannot be used.
        WeightsError: the backbone or its weights are not available.
        ArgumentError: the arguments contradict each other, or the existing run.
        DataError: the data cannot be used.
    """
    run = Run(path)
    fold_file, overrides = _split_folds(folds, overrides)
    if run.exists:
        run = Run.open(path)
        if fixes is not None:
            raise ArgumentError(
                f"--fixes {fixes}: {path} has its labels already (fixes.csv); choose a new folder"
            )
        if not_duplicates is not None:
            raise ArgumentError(
                f"--not-duplicates {not_duplicates}: {path} has its groups already; choose a new "
                f"folder"
            )
        if unlabeled is not None:
            raise ArgumentError(
                f"--unlabeled {unlabeled}: {path} has begun without these images or with them; "
                f"choose a new folder"
            )
        _check_resumable(run, recipe, overrides, only_fold, resume, fold_file)
        check_image_root(run, data, overrides)
    else:
        if path.exists() and not run.is_vacant:
            raise RunError(f"{path}: is not empty and not a run; choose a new folder")
        new_recipe = _load_new_recipe(recipe, overrides, display)
        if unlabeled is not None:
            check_takes_unlabeled(new_recipe, unlabeled)
        check_requirements(new_recipe)
        new_recipe = grow_batch(new_recipe, overrides, display)
        if fold_file is None:
            _check_fold_numbers(only_fold, range(new_recipe.folds.n))
        begin_run(
            data,
            run,
            new_recipe,
            fold_file,
            display,
            fixes,
            not_duplicates,
            before_reading,
            unlabeled,
        )
    _check_fold_numbers(only_fold, run.fold_numbers())
    return run


def resume_command(
    data: str | Path,
    path: str | Path,
    only_fold: Sequence[int],
    begun: bool,
) -> str:
    """Format the command that resumes an interrupted `bestiary train`.

    Args:
        data: as given to `bestiary.train`.
        path: folder of the run.
        only_fold: numbers of the folds to train; empty: all.
        begun: whether the run exists. If not, the same command has to be repeated.
    """
    if not begun:
        return "the same command again (the run is not begun yet)"
    words = ["bestiary", "train", str(data), str(path)]
    for fold in only_fold:
        words += ["--only-fold", str(fold)]
    words.append("--resume")
    return shlex.join(words)


def check_image_root(run: Run, data: str | Path, overrides: Sequence[str] = ()) -> None:
    """Check that a run reads its images from the folder that the user names.

    A run may come from a stranger, so it must not name another folder to read from.

    Args:
        run: an existing run.
        data: the folder or table that the user names.
        overrides: what the user sets; data.root counts as named too.

    Raises:
        ArgumentError: the run was begun with images in another folder.
    """
    named = [option for option in overrides if parse_override(option)[:2] == ("data", "root")]
    table_root = load_data_options(named).root
    if run.named_root():  # here before, so that the recipe is the user's own
        table_root = run.read_recipe().data.root
    root = root_of(data, table_root)
    recorded = run.read_recorded_root()
    if root != recorded:
        raise ArgumentError(
            f"{data}: {run.path} was begun with the images in another folder; name that one, or "
            f"with a table add --set {shell_name(f'data.root={recorded[:MAX_SHOWN_LENGTH]}')}"
        )
    run.remember_root(root)


def check_image_sizes(recipe: Recipe) -> None:
    """Check that the backbone takes images of the recipe's sizes, before images are read.

    Args:
        recipe: its view and backbone are checked.

    Raises:
        WeightsError: the backbone is unknown.
        RecipeError: it cannot take images of a size.
    """
    backbone = recipe.model.backbone
    option_of_side = {recipe.view.eval_side: "view.eval_size or eval_scale"}
    option_of_side[recipe.view.size] = "view.size"

    reasons = input_size_errors(backbone, option_of_side)
    for (side, option), reason in zip(option_of_side.items(), reasons, strict=True):
        if reason:
            raise RecipeError(
                f"{option}: {backbone} cannot take images of {side} pixels ({reason}); choose "
                f"{_nearest_valid_side(backbone, side)}"
            )


def _nearest_valid_side(backbone: str, side: int) -> str:
    """Find the usual image size nearest to `side` that a backbone takes."""

    def distance(candidate: int) -> int:
        return abs(candidate - side)

    candidates = sorted(USUAL_SIDES, key=distance)
    reasons = input_size_errors(backbone, candidates)
    for candidate, reason in zip(candidates, reasons, strict=True):
        if not reason:
            return str(candidate)
    return "another"


def check_requirements(recipe: Recipe) -> None:
    """Check that network, weights and trackers are available, before images are read.

    Args:
        recipe: of the run.

    Raises:
        WeightsError: the backbone or its weights are not available.
        RecipeError: the backbone cannot take images of these sizes, has fewer stages than are
            to be frozen or no layers for LoRA; or peft or a tracker cannot be used.
    """
    check_image_sizes(recipe)
    with Undrawn():  # it is only looked at
        classifier = build_classifier(recipe.model.backbone, 2, recipe.model.weights)
        if recipe.adapts:
            add_lora(classifier, recipe.model.lora, recipe.view.size)
    freeze(classifier, recipe.model)
    check_trackers(recipe.track)


def _load_new_recipe(
    recipe: str | Path | None, overrides: Sequence[str], display: Display
) -> Recipe:
    """Load the recipe of a new run; show which one it is if the user named none."""
    source = recipe or choose_default_recipe(overrides, display)
    loaded = with_own_size(load_recipe(source, overrides))
    set_here = ", ".join(overrides) or "nothing else set"
    detail(f"recipe {source} on {best_device()}: {loaded.model.backbone}; {set_here}")
    if recipe is None:
        display.line(f"Recipe {source}: {loaded.model.backbone} at {loaded.view.size} pixels")
    return loaded


def choose_default_recipe(overrides: Sequence[str], display: Display) -> str:
    """Choose the recipe where the user names none: this device's, if its weights can be had.

    The weights of a GPU's recipe are fetched once. Without a connection, the recipe whose weights
    are installed is taken.

    Args:
        overrides: options of the recipe as section.key=value.
        display: says so if the weights of the device's recipe cannot be had.

    Returns:
        Name of a shipped recipe.

    Raises:
        RecipeError: an override is not valid.
        WeightsError: the overrides name a backbone that is unknown.
    """
    name = default_recipe(best_device().type)
    model = load_recipe(name, overrides).model
    is_own_network = model.backbone == load_recipe(name).model.backbone
    if name == DEFAULT_RECIPE or not is_own_network or weights_are_local(model.backbone):
        return name
    if hub_answers():
        with suppress(WeightsError):
            build_backbone(model.backbone, 2)
            return name
    display.notice(
        f"Recipe {DEFAULT_RECIPE} instead of {name}, this device's own: the weights of "
        f"{model.backbone} are not here and cannot be fetched; --recipe {name} says where to put "
        "them"
    )
    return DEFAULT_RECIPE


def _split_folds(
    folds: str | int | None, overrides: Sequence[str]
) -> tuple[Path | None, Sequence[str]]:
    """Split ``--folds`` into a file, or a number, which is an option of the recipe."""
    if folds is None:
        return None, overrides
    text = str(folds).lstrip("-")
    if text.isascii() and text.isdecimal():
        return None, [*overrides, f"folds.n={folds}"]
    file = Path(str(folds))
    if not file.is_file():
        raise ArgumentError(
            f"--folds {folds}: is neither a number nor a file; give 5, or a table with path,fold"
        )
    return file, overrides


def _check_fold_numbers(only_fold: Sequence[int], valid: Sequence[int]) -> None:
    unknown = [fold for fold in only_fold if fold not in valid]
    if unknown:
        raise ArgumentError(
            f"--only-fold {unknown[0]}: the folds are numbered {valid[0]} to {valid[-1]}"
        )


def _check_resumable(
    run: Run,
    recipe: str | Path | None,
    overrides: Sequence[str],
    only_fold: Sequence[int],
    resume: bool,
    fold_file: Path | None,
) -> None:
    """Refuse arguments that would mix two runs in one folder."""
    is_begun = [run.fold(fold).state.exists() for fold in only_fold]
    if not resume and (not only_fold or any(is_begun)):
        raise RunError(
            f"{run.path}: holds a run already; resume it by bestiary train DATA "
            f"{shell_name(run.path)} --resume, or choose another folder"
        )
    if fold_file is not None:
        raise ArgumentError(
            f"--folds {fold_file}: {run.path} has its folds already ({FOLDS}); leave --folds out"
        )
    if recipe is None and not overrides:
        return
    begun = run.read_recipe()
    requested = with_own_size(load_recipe(recipe or run.file(RECIPE), overrides))
    requested = grown_like(resolve_white(requested, white_of(begun.view)), begun)
    changed = begun.differences(requested)
    if changed:
        raise ArgumentError(
            f"{changed[0]}: {run.path} was begun with another value; resume it without --recipe "
            "and --set, or choose another folder"
        )
