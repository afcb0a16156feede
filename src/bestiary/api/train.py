"""TODO api.train"""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place

if TYPE_CHECKING:
    from bestiary.cluster.connection import Connection
    from bestiary.display import Display
    from bestiary.run.run import Run
    from bestiary.training.checkpointer import Checkpointer


def train(
    data: Place,
    run: Place,
    /,
    *,
    recipe: Place | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: str | int | None = None,
    only_fold: Annotated[Sequence[int], Many] = (),
    fixes: Place | None = None,
    resume: bool = False,
    checkpoint_every: str = "5min",
    processes: int = 1,
    cluster: str | None = None,
    quiet: bool = False,
) -> "Run":
    """Train a k-fold ensemble on a folder of labeled images.

    DATA is a folder with one folder of images for each class (or train/ and
    val/ folders of these), or a CSV or Parquet table with the columns
    path,label[,group][,split]. RUN is a new folder for all that comes of it.

    bestiary train images run --recipe fast --set train.epochs=6 view.size=192

    Parameters ---------- data Folder of class folders, or a table. run Folder for the results;
    nothing in it is ever overwritten. recipe best, best-gpu, paper, fast, probe, or the path of a
    TOML file. Default: best, or best-gpu where there is a GPU; with --resume, the run's own.
    overrides Options of the recipe as section.key=value, listed below. folds Number of folds, or a
    CSV or Parquet file of your own with the columns path,fold. only_fold Train only these folds
    (numbered from 0), so that several machines can share the work. fixes Table of decided labels
    that bestiary labels has written; nothing in DATA is touched. resume Go on with a run where it
    was left; it ends in the same bits as if nothing had happened. checkpoint_every Time between
    states kept inside an epoch, such as 90s, 5min or 2h, or never; one is kept after an epoch too,
    and when the run is stopped by Ctrl-C or SIGTERM. They take a hundredth of the time at most.
    processes Processes of this machine that train each fold together, one for each GPU. Under
    torchrun, accelerate launch or srun leave it out: there it is their number. cluster ray, or
    ray://HOST:PORT: folds are trained side by side by the machines of a Ray cluster, which all see
    DATA and RUN. Each asks for a GPU a process, or where there are none for a machine's cores (or
    train.threads). quiet Show no progress.
    """
    from bestiary.api.durations import parse_duration
    from bestiary.display import Display
    from bestiary.evaluation.finish import finish_run
    from bestiary.run.run import Run
    from bestiary.signals import Interrupts
    from bestiary.storage.files import address_of, location
    from bestiary.storage.mirror import working_folder
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.distributed import check_processes, init_world
    from bestiary.training.request import begin_or_resume, command_to_go_on

    if cluster is None:
        check_processes(processes)
        connection = None
    else:
        from bestiary.cluster.connection import Connection

        connection = Connection(cluster)
    every, decided = parse_duration(checkpoint_every), Path(fixes) if fixes is not None else None
    world = init_world()
    display, begun = Display(quiet, shown=world.is_main), Run(Path(run))
    with (
        Interrupts() as interrupts,
        world.process_group(),
        connection or nullcontext(),
        ExitStack() as held,
    ):
        try:
            begun = Run(held.enter_context(working_folder(run)), address_of(run))
            with world.synchronized() as main:
                if main:
                    beside = connection.begin if connection else None
                    begin_or_resume(
                        data,
                        begun.path,
                        recipe,
                        overrides,
                        folds,
                        only_fold,
                        resume,
                        display,
                        decided,
                        beside,
                    )
            numbers, checkpointer = (
                list(only_fold) or begun.fold_numbers(),
                Checkpointer(every, interrupts, world),
            )
            if connection is None:
                _train_here(begun, numbers, checkpointer, processes, display)
            else:
                threads = begun.read_recipe().train.threads
                # what has been begun at an address is sent there, for the cluster's machines to
                # fetch
                held.close()
                _train_on_cluster(
                    location(run), numbers, threads, connection, checkpointer, processes, display
                )
                begun = Run(held.enter_context(working_folder(run)), address_of(run))
            with world.synchronized() as main:
                if main:
                    finish_run(begun)
        except KeyboardInterrupt:
            display.notice(
                f"Interrupted. To go on: {command_to_go_on(data, run, only_fold, begun.exists)}"
            )
            raise
    return begun


def _train_here(
    run: "Run", numbers: list[int], checkpointer: "Checkpointer", processes: int, display: "Display"
) -> None:
    """Train the folds in this process, or by several of this machine."""
    if processes == 1 or checkpointer.world.size > 1:
        from bestiary.training.crossval import train_folds

        return train_folds(run, numbers, checkpointer, display)
    from bestiary.training.launch import train_in_processes

    train_in_processes(run, numbers, processes, checkpointer.every, quiet=display.quiet)


def _train_on_cluster(
    place: str,
    numbers: list[int],
    threads: int,
    connection: "Connection",
    checkpointer: "Checkpointer",
    processes: int,
    display: "Display",
) -> None:
    """Train the folds of the run at `place` on Ray."""
    from bestiary.cluster.folds import FoldJob, train_on_ray

    train_on_ray(
        [FoldJob(place, only_fold, threads) for only_fold in numbers],
        connection,
        checkpointer.every,
        processes,
        display,
    )
