"""The verb `train`: labeled images -> a run with a trained k-fold ensemble and its score."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, Unlabeled

if TYPE_CHECKING:
    from bestiary.cluster.connection import Connection
    from bestiary.display import Display
    from bestiary.run.run import Run
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.distributed import World


def train(
    data: Location,
    run: Location,
    /,
    *,
    recipe: Location | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    budget: str | None = None,
    folds: str | int | None = None,
    only_fold: Annotated[Sequence[int], Many] = (),
    fixes: Location | None = None,
    not_duplicates: Location | None = None,
    unlabeled: Unlabeled = None,
    resume: bool = False,
    checkpoint_every: str = "5min",
    processes: int = 1,
    cluster: str | None = None,
    quiet: bool = False,
) -> "Run":
    """Train a k-fold ensemble on a folder of labeled images.

    DATA is a folder with one folder of images for each class (or train/ and val/
    folders of these), or a CSV or Parquet table with the columns
    path,label[,group][,split]. RUN is a new folder for the results.

    bestiary train images run --recipe fast --set train.epochs=6 view.size=192

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Folder for the results. Nothing in it is ever overwritten.
    recipe
        best, best-gpu, paper, fast, probe, foundation, or the path of a TOML file. Default:
        best, or best-gpu where there is a GPU and its weights are here or can be fetched;
        with --resume, the run's own.
    overrides
        Options of the recipe as section.key=value, listed below.
    budget
        Time for everything, such as 10min, 30min or 2h, or auto for this device's default.
        Heads on the frozen network come first; then one fold shows whether fine-tuning and
        larger images pay on these images, and the rest of the time goes that way. The fold
        that the choice was made on is not scored. Takes the place of --recipe.
    folds
        Number of folds, or a CSV or Parquet file of your own with the columns path,fold.
    only_fold
        Train only these folds, numbered from 0: several machines can share the work.
    fixes
        Table of decided labels, as bestiary labels writes it. Nothing in DATA is touched.
    not_duplicates
        Table of decided pairs, as bestiary scan --out writes it: those whose decision is no
        are no near duplicates.
    unlabeled
        More images of the same kinds, without labels: a folder, or a table. The heads learn
        from their own guesses for these. Near duplicates of labeled images are left out.
    resume
        Resume a run where it was left. The result is the same, bit for bit, as without the
        interruption; on a GPU only with --set train.deterministic=true.
    checkpoint_every
        Time between checkpoints inside an epoch, such as 90s, 5min or 2h, or never. One is
        also saved after each epoch, and when Ctrl-C or SIGTERM stops the run. Checkpoints
        take at most 1 % of the time.
    processes
        Processes of this machine that train together, one for each GPU. With GPUs, folds are
        trained side by side, one GPU each, unless the batch has 64 images or more for each
        GPU; then, and on CPUs, all processes train each fold together. Leave it out under
        torchrun, accelerate launch or srun, which set the number.
    cluster
        ray, or ray://HOST:PORT: the machines of a Ray cluster train the folds side by side.
        All of them must see DATA and RUN. Each fold takes one GPU a process, or without
        GPUs a machine's cores (or train.threads).
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> options = ["view.size=32", "train.epochs=1"]
    >>> run = bestiary.train(
    ...     "images", "my-run", recipe="fast", overrides=options, folds=3, quiet=True
    ... )
    >>> print(run.score_line)
    Out-of-fold accuracy ... (95 % interval ...), 36 images
    """
    from bestiary.api.durations import parse_duration
    from bestiary.display import Display
    from bestiary.run.run import Run
    from bestiary.signals import Interrupts
    from bestiary.storage.files import address_of, location
    from bestiary.storage.mirror import working_folder
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.distributed import init_world
    from bestiary.training.request import begin_or_resume, resume_command

    connection = _check_machines(processes, cluster)
    seconds = parse_duration(checkpoint_every)
    limit = _check_budget(budget, recipe, overrides, only_fold, processes, cluster)
    world = init_world()
    display = Display(quiet, visible=world.is_main)
    opened = Run(Path(run))
    with (
        Interrupts() as interrupts,
        world.process_group(),
        connection or nullcontext(),
        ExitStack() as stack,
    ):
        try:
            # Begin the run, or check that it can be resumed.
            opened = Run(stack.enter_context(working_folder(run)), address_of(run))
            checkpointer = Checkpointer(seconds, interrupts, world)
            begin = partial(
                begin_or_resume,
                data,
                folds=folds,
                display=display,
                fixes=Path(fixes) if fixes is not None else None,
                not_duplicates=Path(not_duplicates) if not_duplicates is not None else None,
                unlabeled=Path(unlabeled) if unlabeled is not None else None,
            )
            if limit is not None and not opened.exists:
                _begin_within(limit, opened, overrides, begin, checkpointer, display)
            else:
                _begin_on_main(
                    opened,
                    partial(
                        begin,
                        recipe=recipe,
                        overrides=overrides,
                        only_fold=only_fold,
                        resume=resume,
                        before_reading=connection.begin if connection else None,
                    ),
                    world,
                    budget,
                )

            # The user has named the folder of the images: this was compared with the run's.
            opened = replace(opened, data=opened.read_recorded_root())

            # Train the folds.
            fold_numbers = list(only_fold) or opened.fold_numbers()
            if connection is None:
                _train_here(opened, fold_numbers, checkpointer, processes, display)
            else:
                _train_on_cluster(
                    opened,
                    location(run),
                    fold_numbers,
                    connection,
                    checkpointer,
                    processes,
                    display,
                    stack,
                )
                opened = replace(opened, path=stack.enter_context(working_folder(run)))

            # Assemble, calibrate and score.
            with world.synchronized() as is_main:
                if is_main:
                    _finish(opened, display)
        except KeyboardInterrupt:
            command = resume_command(data, run, only_fold, opened.exists)
            display.notice(f"Interrupted. To go on: {command}")
            raise
    return opened


def _finish(run: "Run", display: "Display") -> None:
    """Assemble, calibrate and score a run; say what its heads and its fine-tuning were; draw it.

    The charts may fail alone.
    """
    from bestiary.errors import BestiaryError
    from bestiary.evaluation.fine_tuning import unchanged_line
    from bestiary.evaluation.finish import finish_run
    from bestiary.evaluation.results import read_results
    from bestiary.reporting.figure_files import write_figures
    from bestiary.run.field_scores import field_lines, read_field_scores
    from bestiary.run.heads import heads_text

    finish_run(run)
    text = heads_text([run.fold(fold) for fold in run.fold_numbers()])
    if text:
        display.line(text)
    if run.score_line is None:
        return
    for field_line in field_lines(read_field_scores(run)):
        display.notice(field_line)
    if line := unchanged_line(run):
        display.notice(line)
    try:
        files = write_figures(read_results(run))
        display.line(f"Charts: {files[-1]}")
    except BestiaryError as error:
        display.notice(f"The charts are left out: {error}")


def _check_machines(processes: int, cluster: str | None) -> "Connection | None":
    """Check the number of processes, or prepare the connection to a cluster."""
    from bestiary.training.distributed import check_processes

    if cluster is None:
        check_processes(processes)
        return None
    from bestiary.cluster.connection import Connection

    return Connection(cluster)


def _check_budget(
    budget: str | None,
    recipe: Location | None,
    overrides: Sequence[str],
    only_fold: Sequence[int],
    processes: int,
    cluster: str | None,
) -> float | None:
    """Parse --budget, and refuse what contradicts it; None without a budget."""
    if budget is None:
        return None
    from bestiary.advising.budget_request import (
        AUTO,
        check_arguments,
        check_seconds,
        default_seconds,
    )
    from bestiary.api.durations import parse_duration

    check_arguments(recipe, overrides, only_fold, processes, cluster)
    if budget.strip() == AUTO:
        return default_seconds()
    return check_seconds(budget, parse_duration(budget, "--budget"))


def _begin_within(
    seconds: float,
    run: "Run",
    overrides: Sequence[str],
    begin: "Callable[..., Run]",
    checkpointer: "Checkpointer",
    display: "Display",
) -> None:
    """Try what a budget allows, and begin the run in the way that pays."""
    from bestiary.advising.budget import Budgeted, settle_budget
    from bestiary.advising.budget_request import check_single_process, load_tuning_recipe

    check_single_process(checkpointer.world)
    name, recipe = load_tuning_recipe(overrides, display)

    def begin_heads(folder: Path, changes: Sequence[str]) -> "Run":
        options = [*overrides, *changes]
        return begin(path=folder, recipe=name, overrides=options, only_fold=[], resume=True)

    settle_budget(Budgeted(run, recipe, seconds, begin_heads, checkpointer, display))


def _begin_on_main(
    run: "Run", begin: "Callable[..., Run]", world: "World", budget: str | None
) -> None:
    """Begin a run or check that it can be resumed, on rank 0."""
    with world.synchronized() as is_main:
        if is_main:
            begin(path=run.path)
            if budget is not None:
                _check_was_budgeted(run, budget)


def _check_was_budgeted(run: "Run", budget: str) -> None:
    """Refuse a budget for a run that was begun without one."""
    from bestiary.errors import ArgumentError
    from bestiary.run.budget_file import read_budget

    if read_budget(run) is None:
        raise ArgumentError(
            f"--budget {budget}: {run.place} was begun without one; leave it out, or choose "
            "another folder"
        )


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
