"""What was asked -> a run that can be trained: a new one, or one that exists and is the same.

Nothing in a run that exists is ever overwritten.
"""

import importlib.util
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from bestiary.data.listing import root_of
from bestiary.display import Display
from bestiary.errors import ArgumentError, RecipeError, RunError
from bestiary.model.classifier import build_classifier, refusals_of
from bestiary.model.compute import best_device
from bestiary.model.freezing import freeze
from bestiary.recipe.defaults import default_recipe
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.run.layout import RECIPE
from bestiary.run.run import Run
from bestiary.training.prepare import begin_run


def begin_or_resume(
    data: str | Path,
    path: Path,
    recipe: str | Path | None,
    overrides: Sequence[str],
    folds: str | int | None,
    fold: Sequence[int],
    resume: bool,
    display: Display,
    fixes: Path | None = None,
    beside: Callable[[], object] | None = None,
) -> Run:
    """Begin the run at `path`, or open it to go on with; arguments as `bestiary.train` takes them.

    `beside` is called when what was asked is known to be sound, before the images of a new run are
    read.

    Raises:
        RunError: the folder holds something else, or a run that must not be touched without
            ``--resume``.
        RecipeError: the recipe is not valid, or names a tracker that is not installed.
        WeightsError: the backbone or its weights are not to be had.
        ArgumentError: the arguments contradict each other, or the run that is gone on with.
        DataError: the data cannot be used as it is.
    """
    run = Run(path)
    fold_file, overrides = _split_folds(folds, overrides)
    if run.exists:
        if fixes is not None:
            raise ArgumentError(
                f"--fixes {fixes}: {path} has its labels already (fixes.csv); choose a new folder"
            )
        _check_resumable(run, recipe, overrides, fold, resume, fold_file)
        check_root(run, data)
    else:
        if path.exists() and not run.is_vacant:
            raise RunError(f"{path}: is not empty and not a run; choose a new folder")
        chosen = recipe or default_recipe(best_device().type)
        asked = load_recipe(chosen, overrides)
        if recipe is None:
            display.line(f"Recipe {chosen}: {asked.model.backbone} at {asked.view.size} pixels")
        check_requirements(asked)
        if fold_file is None:
            _check_numbers(fold, range(asked.folds.n))
        begin_run(data, run, asked, fold_file, display, fixes, beside)
    _check_numbers(fold, run.fold_numbers())
    return run


def command_to_go_on(data: str | Path, path: str | Path, fold: Sequence[int], begun: bool) -> str:
    """What to type so that an interrupted `train` goes on; its own arguments again where no run
    was `begun` yet.
    """
    if not begun:
        return "the same command again (nothing is trained yet)"
    some = [word for number in fold for word in ("--only-fold", str(number))]
    return shlex.join(["bestiary", "train", str(data), str(path), *some, "--resume"])


def check_root(run: Run, data: str | Path) -> None:
    """A run, which may be a stranger's, reads images from no other folder than the one that the
    user names.
    """
    root = root_of(data, run.read_recipe().data.root)
    if root != str(run.read_root()):
        raise ArgumentError(
            f"{data}: {run.path} was begun with the images in {run.read_root()}; name that folder"
        )


def _split_folds(
    folds: str | int | None, overrides: Sequence[str]
) -> tuple[Path | None, Sequence[str]]:
    """``--folds`` is a number, which is an option of the recipe, or a file."""
    if folds is None:
        return None, overrides
    if str(folds).lstrip("-").isdecimal():
        return None, [*overrides, f"folds.n={folds}"]
    file = Path(str(folds))
    if not file.is_file():
        raise ArgumentError(
            f"--folds {folds}: is neither a number nor a file; give 5, or a table with path,fold"
        )
    return file, overrides


def check_image_sizes(recipe: Recipe) -> None:
    """Fail now, not after the images are read, where the network cannot take images of the sizes
    asked for.

    Raises:
        WeightsError: the backbone is unknown.
        RecipeError: it cannot.
    """
    backbone, sides = (
        recipe.model.backbone,
        {recipe.view.eval_side: "view.eval_size or eval_scale"},
    )
    sides[recipe.view.size] = "view.size"
    for side, reason in zip(sides, refusals_of(backbone, sides), strict=True):
        if reason:
            near = sorted((*range(32, 513, 32), 299, 518), key=lambda other: abs(other - side))
            fits = (
                str(other)
                for other, no in zip(near, refusals_of(backbone, near), strict=True)
                if not no
            )
            raise RecipeError(
                f"{sides[side]}: {backbone} cannot take images of {side} pixels ({reason}); "
                f"choose {next(fits, 'another')}"
            )


def check_requirements(recipe: Recipe) -> None:
    """Fail now, not after the images are read, where the network, its weights or a tracker are not
    to be had.

    Raises:
        WeightsError: the backbone or its weights are not to be had.
        RecipeError: the backbone cannot take images of the sizes asked for or has fewer stages than
            are to be frozen, or a tracker is not installed.
    """
    check_image_sizes(recipe)
    freeze(build_classifier(recipe.model.backbone, 2, recipe.model.weights), recipe.model)
    for tracker in recipe.track.to:
        if importlib.util.find_spec(tracker) is None:
            raise RecipeError(
                f"track.to = {tracker!r}: is not installed; pip install {tracker}, or leave it out"
            )


def _check_numbers(fold: Sequence[int], known: Sequence[int]) -> None:
    unknown = [number for number in fold if number not in known]
    if unknown:
        raise ArgumentError(
            f"--only-fold {unknown[0]}: the folds are numbered {known[0]} to {known[-1]}"
        )


def _check_resumable(
    run: Run,
    recipe: str | Path | None,
    overrides: Sequence[str],
    fold: Sequence[int],
    resume: bool,
    fold_file: Path | None,
) -> None:
    """Refuse what would mix two runs in one folder."""
    fresh = [number for number in fold if not run.fold(number).state.exists()]
    if not resume and (not fold or len(fresh) < len(fold)):
        raise RunError(
            f"{run.path}: holds a run already; go on with it by --resume, or choose another folder"
        )
    if fold_file is not None:
        raise ArgumentError(
            f"--folds {fold_file}: {run.path} has its folds already (folds.parquet); leave --folds "
            f"out"
        )
    if recipe is None and not overrides:
        return
    kept = run.read_recipe()
    asked = load_recipe(recipe or run.file(RECIPE), overrides)
    changed = kept.differences(asked)
    if changed:
        raise ArgumentError(
            f"{changed[0]}: {run.path} was begun with another value; go on without --recipe and "
            f"--set, "
            "or choose another folder"
        )
