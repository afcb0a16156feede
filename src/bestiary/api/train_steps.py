"""The steps of `train`: begin or resume a run, train its folds, finish it; or only plan it."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Data, Labels, Location

if TYPE_CHECKING:
    from bestiary.api.run import Run
    from bestiary.cluster.connection import Connection
    from bestiary.display import Display
    from bestiary.run.run import Run as RunDirectory
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.distributed import World


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants of `train`; each attribute is the argument of its name there."""

    data: Location
    run: Location
    recipe: Location | None
    overrides: Sequence[str]
    budget: str | None
    folds: str | int | None
    only_fold: Sequence[int]
    fixes: Location | None
    not_duplicates: Location | None
    unlabeled: Location | None
    resume: bool
    checkpoint_every: str
    processes: int
    cluster: str | None
    dry_run: bool
    quiet: bool


def train_wanted(wanted: Wanted) -> "Run":
    """Do what `train` was asked for.

    Raises:
        BestiaryError: it cannot be done.
    """
    from bestiary.api.durations import CHECKPOINT_TIMES, parse_duration
    from bestiary.api.run import Run
    from bestiary.display import Display
    from bestiary.run.training_now import training
    from bestiary.signals import Interrupts
    from bestiary.storage.files import address_of
    from bestiary.storage.mirror import working_folder
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.distributed import init_world
    from bestiary.training.request import resume_command

    connection = _check_machines(wanted.processes, wanted.cluster)
    seconds = parse_duration(wanted.checkpoint_every, "--checkpoint-every", CHECKPOINT_TIMES)
    limit = _check_budget(wanted)
    world = init_world()
    display = Display(wanted.quiet, visible=world.is_main)
    opened = Run(Path(wanted.run))
    with (
        Interrupts() as interrupts,
        world.process_group(),
        connection or nullcontext(),
        training(str(wanted.run)) as others,
        ExitStack() as stack,
    ):
        try:
            _say_shared(others, wanted, display)
            # Begin the run, or check that it can be resumed.
            opened = Run(stack.enter_context(working_folder(wanted.run)), address_of(wanted.run))
            if wanted.dry_run:
                return _plan(wanted, opened, display)
            checkpointer = Checkpointer(seconds, interrupts, world)
            if limit is not None and not opened.exists:
                _begin_within(limit, opened, wanted, checkpointer, display)
            else:
                _begin_on_main(opened, wanted, world, connection, display)
            # The user has named the folder of the images: this was compared with the run's.
            opened = replace(opened, data=opened.read_recorded_root())

            opened = _train_folds(wanted, opened, connection, checkpointer, display, stack)

            # Assemble, calibrate and score.
            with world.synchronized() as is_main:
                if is_main:
                    _finish(opened, display)
        except KeyboardInterrupt:
            command = resume_command(wanted.data, wanted.run, wanted.only_fold, opened.exists)
            display.notice(f"Interrupted. To go on: {command}")
            raise
    return opened


def data_on_disk(
    data: Data, labels: Labels, overrides: Sequence[str]
) -> tuple[Location, Sequence[str]]:
    """Write data that is in memory as a table.

    Args:
        data: folder or table, or paths or a frame.
        labels: of the paths; None: `data` has its own.
        overrides: of the recipe.

    Returns:
        Where the data is, and the overrides with the folder that its paths start from.

    Raises:
        ArgumentError: there are labels twice, or none.
    """
    if isinstance(data, str | Path) and labels is None:
        return data, overrides
    from bestiary.data.labeled_lists import write_labeled
    from bestiary.errors import ArgumentError
    from bestiary.recipe.overrides import parse_override

    if isinstance(data, str | Path):
        raise ArgumentError(f"labels: {data} has its own; leave them out, or pass a list of paths")
    has_root = any(parse_override(option)[:2] == ("data", "root") for option in overrides)
    table, root = write_labeled(data, labels, has_root)
    # A string of JSON is one of TOML.
    return table, [*overrides, f"data.root={json.dumps(root)}"] if root else overrides


def _say_shared(others: Sequence[str], wanted: Wanted, display: "Display") -> None:
    """Say which other runs are trained on this machine; ranks of this one are none of them."""
    from bestiary.numbers import count

    named = [place for place in others if place != str(wanted.run)]
    if named:
        display.line(
            f"{count(len(named), 'other run')} in training on this machine ({named[0]}): they "
            "share its cores and GPUs, so each takes longer"
        )


def _begin(wanted: Wanted, display: "Display") -> "Callable[..., RunDirectory]":
    """Prepare the beginning of a run in a folder that is still to be named."""
    from bestiary.training.request import begin_or_resume

    def path_of(table: Location | None) -> Path | None:
        return None if table is None else Path(table)

    return partial(
        begin_or_resume,
        wanted.data,
        recipe=wanted.recipe,
        overrides=wanted.overrides,
        folds=wanted.folds,
        only_fold=wanted.only_fold,
        resume=wanted.resume,
        display=display,
        fixes=path_of(wanted.fixes),
        not_duplicates=path_of(wanted.not_duplicates),
        unlabeled=path_of(wanted.unlabeled),
    )


def _plan(wanted: Wanted, run: "Run", display: "Display") -> "Run":
    """Return what a run would be and how long it would take; nothing is written."""
    from bestiary.advising.dry_run import plan_run
    from bestiary.api.run import PlannedRun
    from bestiary.errors import ArgumentError

    if run.exists:
        raise ArgumentError(f"--dry-run: {run.place} is begun already; see bestiary show")
    if wanted.budget is not None or wanted.cluster is not None:
        option = "--cluster" if wanted.budget is None else "--budget"
        raise ArgumentError(f"--dry-run: cannot say how long {option} takes; leave one of them out")
    plan = plan_run(_begin(wanted, display), run)
    return PlannedRun(run.path, run.address, run.data, plan)


def _finish(run: "Run", display: "Display") -> None:
    """Assemble, calibrate and score a run; say what its heads and its fine-tuning were; draw it.

    The charts may fail alone.
    """
    from bestiary.errors import BestiaryError
    from bestiary.evaluation.fine_tuning import unchanged_line
    from bestiary.evaluation.finish import finish_run
    from bestiary.evaluation.results import read_results
    from bestiary.reporting.figure_files import write_figures
    from bestiary.reporting.last_words import HEAD_WIDTH, last_words
    from bestiary.run.field_scores import field_lines, read_field_scores
    from bestiary.run.heads import heads_of_run
    from bestiary.training.tracking.start import track_scores

    finish_run(run)
    text = heads_of_run(run.load())
    if text:
        display.line(text)
    if run.score_line is None:
        return
    for field_line in field_lines(read_field_scores(run)):
        display.notice(field_line)
    if line := unchanged_line(run):
        display.notice(line)
    results = read_results(run)
    display.result(last_words(results))
    try:
        files = write_figures(results)
        display.line(f"{'Charts':<{HEAD_WIDTH}}{files[-1]}")
    except BestiaryError as error:
        display.notice(f"The charts are left out: {error}")
    track_scores(run, display.notice)


def _check_machines(processes: int, cluster: str | None) -> "Connection | None":
    """Check the number of processes, or prepare the connection to a cluster."""
    from bestiary.training.distributed import check_processes

    if cluster is None:
        check_processes(processes)
        return None
    from bestiary.cluster.connection import Connection

    return Connection(cluster)


def _check_budget(wanted: Wanted) -> float | None:
    """Parse --budget, and refuse what contradicts it; None without a budget."""
    budget = wanted.budget
    if budget is None:
        return None
    from bestiary.advising.budget_request import (
        AUTO,
        BUDGETS,
        check_arguments,
        check_seconds,
        default_seconds,
    )
    from bestiary.api.durations import parse_duration

    check_arguments(wanted.overrides, wanted.only_fold, wanted.processes, wanted.cluster)
    if budget.strip() == AUTO:
        return default_seconds()
    return check_seconds(budget, parse_duration(budget, "--budget", BUDGETS))


def _begin_within(
    seconds: float,
    run: "Run",
    wanted: Wanted,
    checkpointer: "Checkpointer",
    display: "Display",
) -> None:
    """Try what a budget allows, and begin the run in the way that pays."""
    from bestiary.advising.budget import settle_budget
    from bestiary.advising.budget_request import check_single_process, load_tuning_recipe
    from bestiary.advising.budget_work import Budgeted

    check_single_process(checkpointer.world)
    source, recipe = load_tuning_recipe(wanted.recipe, wanted.overrides, display)

    def begin_heads(folder: Path, changes: Sequence[str]) -> "RunDirectory":
        begin = _begin(replace(wanted, resume=True), display)
        return begin(path=folder, recipe=source, overrides=[*wanted.overrides, *changes])

    settle_budget(Budgeted(run, recipe, seconds, begin_heads, checkpointer, display))


def _begin_on_main(
    run: "Run",
    wanted: Wanted,
    world: "World",
    connection: "Connection | None",
    display: "Display",
) -> None:
    """Begin a run or check that it can be resumed, on rank 0."""
    before_reading = connection.begin if connection else None
    with world.synchronized() as is_main:
        if is_main:
            _begin(wanted, display)(path=run.path, before_reading=before_reading)
            if wanted.budget is not None:
                _check_was_budgeted(run, wanted.budget)


def _check_was_budgeted(run: "Run", budget: str) -> None:
    """Refuse a budget for a run that was begun without one."""
    from bestiary.errors import ArgumentError
    from bestiary.run.budget_file import read_budget

    if read_budget(run) is None:
        raise ArgumentError(
            f"--budget {budget}: {run.place} was begun without one; leave it out, or choose "
            "another folder"
        )


def _train_folds(
    wanted: Wanted,
    run: "Run",
    connection: "Connection | None",
    checkpointer: "Checkpointer",
    display: "Display",
    stack: ExitStack,
) -> "Run":
    """Train the folds here or on a cluster, where the run's working folder is another one after."""
    from bestiary.storage.files import location
    from bestiary.storage.mirror import working_folder

    folds = list(wanted.only_fold) or run.fold_numbers()
    if connection is None:
        _train_here(run, folds, checkpointer, wanted.processes, display)
        return run
    place = location(wanted.run)
    _train_on_cluster(run, place, folds, connection, checkpointer, wanted.processes, display, stack)
    return replace(run, path=stack.enter_context(working_folder(wanted.run)))


def _train_on_cluster(
    run: "Run",
    place: str,
    folds: list[int],
    connection: "Connection",
    checkpointer: "Checkpointer",
    processes: int,
    display: "Display",
    stack: ExitStack,
) -> None:
    """Train folds on the machines of a Ray cluster, after closing the run's working folder."""
    from bestiary.cluster.folds import cluster_folds, train_on_ray

    to_train = cluster_folds(run, place, folds)
    stack.close()  # uploads a run in an object store, for the cluster's machines
    train_on_ray(to_train, connection, checkpointer.every, processes, display)


def _train_here(
    run: "Run", folds: list[int], checkpointer: "Checkpointer", processes: int, display: "Display"
) -> None:
    """Train folds in this process, or in several of this machine."""
    if processes == 1 or checkpointer.world.size > 1:
        from bestiary.training.crossval import train_folds

        train_folds(run, folds, checkpointer, display)
        return

    from bestiary.training.launch import train_in_processes
    from bestiary.training.side_by_side import gives_folds_a_gpu_each, train_side_by_side

    batch_size = run.read_recipe().train.batch_size
    if gives_folds_a_gpu_each(folds, processes, batch_size):
        train_side_by_side(run, folds, processes, checkpointer.every, display)
    else:
        train_in_processes(run, folds, processes, checkpointer.every, quiet=display.quiet)
