"""A run with ``track.to`` -> its trackers: checked before images are read, and started.

Each fold tells of its epochs, and in the end all of them together of the score.
TensorBoard has its place in each fold's folder, whatever else is tracked.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from bestiary.errors import RecipeError, RunError, one_line
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import TrackOptions
from bestiary.run.layout import METRICS, RECIPE, REPORTS
from bestiary.run.run import Run
from bestiary.run.tracking_id import read_tracking_id
from bestiary.training.fold_job import FoldJob
from bestiary.training.tracking.tensorboard import TensorBoard
from bestiary.training.tracking.tracker import Parameters, Tracked, Tracker, Trackers

# Each is imported only if it is asked for. Its package has the name of the tracker.
_CLASSES = {"mlflow": "MLflow", "trackio": "Trackio", "wandb": "WeightsAndBiases"}
PREFIX = "oof_"  # of the out-of-fold scores
_SEED = re.compile(r"seed-\d+")


def check_trackers(options: TrackOptions) -> None:
    """Check that the trackers are installed and can be used.

    Args:
        options: of the recipe.

    Raises:
        RecipeError: one of them cannot; the line has the remedy.
    """
    for name in options.to:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(
                f"track.to = {name!r}: is not installed; pip install 'bestiary[{name}]', or leave "
                "it out"
            )
        try:
            module = _module(name)
        except ImportError as error:
            raise RecipeError(
                f"track.to = {name!r}: cannot be imported ({one_line(error)}); pip install "
                f"'bestiary[{name}]', or leave it out"
            ) from None
        if hasattr(module, f"check_{name}"):
            getattr(module, f"check_{name}")(options.project)


def start_fold_trackers(job: FoldJob) -> Trackers:
    """Start the trackers of a fold, on rank 0; the others have none.

    Args:
        job: the fold.

    Raises:
        RunError: TensorBoard's folder cannot be written.
    """
    trackers = Trackers(job.notice, _told(job.files.folder.parent))
    if not job.world.is_main:
        return trackers
    recipe = job.recipe
    facts = {"images": len(job.data.paths), "classes": len(job.data.classes), "fold": job.fold}
    parameters = recipe_parameters(recipe) | facts
    try:
        board = TensorBoard(job.files.tensorboard, parameters)
    except OSError as error:
        raise RunError(
            f"{job.files.folder}: cannot be written ({error.strerror}); free space, then --resume"
        ) from None
    trackers.start("TensorBoard", lambda: board)
    _start(trackers, job.files.folder.parent, recipe.track, job.fold, parameters)
    return trackers


def track_scores(run: Run, notice: Callable[[str], object]) -> None:
    """Tell the trackers the out-of-fold scores of a run, and give them its files.

    Args:
        run: all its folds may have ended; else, nothing is told.
        notice: shows the user a line.

    Raises:
        RunError: a file of the run is damaged.
    """
    recipe = run.read_recipe()
    scores = run.read_scores()
    if not recipe.track.to or scores is None:
        return
    trackers = Trackers(notice, _told(run.path))
    _start(trackers, run.path, recipe.track, None, recipe_parameters(recipe))
    trackers.log(score_metrics(scores))
    names = (METRICS, RECIPE, *REPORTS.values())
    trackers.log_files([run.file(name) for name in names if run.file(name).is_file()])
    trackers.finish(ended=True)


def recipe_parameters(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """List the options of a recipe as trackers take them: section.key, and lists as text.

    Example:
        >>> parameters = recipe_parameters(Recipe())
        >>> parameters["train.epochs"], parameters["view.scale"]
        (4, '[0.35, 1.0]')
    """
    parameters = {}
    for section, options in recipe.model_dump(mode="json").items():
        for key, value in options.items():
            parameters[f"{section}.{key}"] = json.dumps(value) if isinstance(value, list) else value
    return parameters


def score_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """Flatten out-of-fold scores: each with the ends of its interval.

    Args:
        scores: as metrics.json has them.

    Example:
        >>> score_metrics({"accuracy": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 30}})
        {..._images': 30, ..._accuracy': 0.9, ..._accuracy_low': 0.8, ..._accuracy_high': 1.0}
    """
    metrics: dict[str, float] = {"images": scores["accuracy"]["n"]}
    named = {"accuracy": scores["accuracy"], "ensemble": scores.get("ensemble")}
    for name, score in {**scores.get("scores", {}), **named}.items():
        if score is not None:
            metrics |= {name: score["value"], f"{name}_low": score["low"]}
            metrics[f"{name}_high"] = score["high"]
    return {f"{PREFIX}{name}": value for name, value in metrics.items()}


def _start(
    trackers: Trackers,
    run: Path,
    options: TrackOptions,
    fold: int | None,
    parameters: Parameters,
) -> None:
    """Start the trackers that a recipe asks for; what fails here stops no run either."""

    def build(name: str) -> Tracker:
        tracked = Tracked(options.project, _group(run), read_tracking_id(run), fold, parameters)
        tracker: Tracker = getattr(_module(name), _CLASSES[name])(tracked)
        return tracker

    for name in dict.fromkeys(options.to):
        trackers.start(name, partial(build, name))


@cache
def _told(run: Path) -> set[str]:
    """The trackers of a run whose failure this process has told the user."""
    return set()


def _group(run: Path) -> str:
    """Name a run; those of an ablation are named by their variant too."""
    folder = run.resolve()
    is_seed = _SEED.fullmatch(folder.name)
    return f"{folder.parent.name}-{folder.name}" if is_seed else folder.name


def _module(name: str) -> Any:
    return import_module(f"bestiary.training.tracking.{name}")
