"""Folds on Ray: folds of runs -> the same folds, trained in parallel by the workers of a cluster.

The runs have been created; their folds, or those of an ablation's variants, are trained together.
Ray restarts a fold that loses its worker or machine. The fold resumes from its last checkpoint,
which lies with the run in storage that all machines share. Does not know how a fold is trained.
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bestiary.cluster.connection import Connection, alive_nodes, load_ray
from bestiary.cluster.progress import ProgressActor, ProgressBars, RemoteSink
from bestiary.display import Display
from bestiary.errors import BestiaryError, RunError, named_error
from bestiary.run.layout import fold_folder, is_at_top
from bestiary.run.run import Run
from bestiary.signals import Interrupts
from bestiary.storage.mirror import working_folder
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import autotune_run, train_folds
from bestiary.training.launch import train_in_processes

MAX_RETRIES = 10  # lost workers and machines that one fold survives
LOCK_TIMEOUT = 120.0  # seconds to wait for the fold's lock, which a dying worker may still have
STOP_TIMEOUT = 60.0  # seconds that workers have to save a checkpoint when they are stopped
POLL_SECONDS = 0.2
NO_FOLD = -1  # of work for a whole run


class ClusterFold(NamedTuple):
    """One fold of one run.

    Attributes:
        run: path or address of the run, the same on all machines.
        fold: number of the fold that is held out.
        threads: cores to reserve if there are no GPUs; 0: all cores of a machine.
        data: folder or address of the run's images, the same on all machines.
    """

    run: str
    fold: int
    threads: int = 0
    data: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """Cores and GPUs of one machine that a fold reserves."""

    cpus: float
    gpus: float


class Failure(NamedTuple):
    """An error of a worker, as sent to the command.

    Attributes:
        error_class: name of a class of `bestiary.errors`.
        message: one line.
    """

    error_class: str
    message: str


def train_on_ray(
    folds: Sequence[ClusterFold],
    cluster: Connection,
    checkpoint_every: float,
    processes: int,
    display: Display,
) -> None:
    """Train all folds that are not finished.

    Args:
        folds: of runs that have been created, in the order to start them.
        cluster: where to train.
        checkpoint_every: seconds between checkpoints inside an epoch.
        processes: number of ranks that train a fold together, on one machine.
        display: shows the progress of all folds.

    Raises:
        ArgumentError: no cluster answers.
        KeyboardInterrupt: Ctrl-C; the workers save their checkpoints.
        BestiaryError: a fold failed; the others are stopped and save their checkpoints.
    """
    cluster.wait()
    actor = _start_progress_actor()
    resources = {fold.run: _resources(fold.threads, processes) for fold in folds}
    places = {fold.run: fold.data for fold in folds}

    # Autotune each run once, before its folds are trained in parallel. Meanwhile the other workers
    # start and import what they need.
    preparing = {}
    for run, reserved in resources.items():
        task = _remote(_autotune, reserved).remote(run, places[run], display.quiet, actor)
        preparing[task] = ClusterFold(run, NO_FOLD)
    for fold in folds[len(resources) :]:
        task = _remote(_import_training, resources[fold.run]).remote()
        preparing[task] = fold
    _follow(preparing, actor, display)

    training = {}
    for fold in folds:
        task = _remote(_train_fold, resources[fold.run]).remote(
            fold.run,
            fold.data,
            fold.fold,
            checkpoint_every,
            processes,
            display.quiet,
            actor,
        )
        training[task] = fold
    _follow(training, actor, display)


def _start_progress_actor() -> Any:
    """Start the actor that workers report to, on this machine, so that no lost machine ends it."""
    ray = load_ray()
    on_this_machine = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(),
        soft=True,
    )
    actor_class = ray.remote(ProgressActor).options(
        num_cpus=0,
        max_restarts=-1,
        scheduling_strategy=on_this_machine,
    )
    return actor_class.remote()


def _follow(tasks: dict[Any, ClusterFold], actor: Any, display: Display) -> None:
    """Show progress until all tasks end; if one fails or the user stops it, cancel the others."""
    ray = load_ray()
    running = list(tasks)
    has_several_runs = len({fold.run for fold in tasks.values()}) > 1
    try:
        with ProgressBars(display, name_runs=has_several_runs) as bars:
            while running:
                ended, running = ray.wait(running, timeout=POLL_SECONDS)
                # If the actor is lost, so are the reports since the last poll, and nothing else.
                with suppress(ray.exceptions.RayError):
                    bars.show(ray.get(actor.take.remote()))
                for task in ended:
                    _raise_failure(tasks[task], _failure_of(task))
    except BaseException:
        for task in running:
            ray.cancel(task)
        if running:
            ray.wait(running, num_returns=len(running), timeout=STOP_TIMEOUT)
        raise


def _failure_of(task: Any) -> Failure | None:
    """Return the failure of a task that has ended; None if it succeeded."""
    ray = load_ray()
    try:
        failure: Failure | None = ray.get(task)
        return failure
    except ray.exceptions.RayTaskError:
        raise  # a defect: keep the traceback
    except ray.exceptions.RayError as error:
        return Failure(
            "RunError",
            f"was given up after {MAX_RETRIES} lost workers ({type(error).__name__}); look after "
            f"the cluster",
        )


def cluster_folds(run: Run, where: str, folds: Sequence[int]) -> list[ClusterFold]:
    """List folds of a run to train on a cluster.

    Args:
        run: the run.
        where: its path or address, as the cluster's machines reach it.
        folds: numbers of the folds.

    Returns:
        The folds, with the threads that the run's recipe asks for.
    """
    threads = run.read_recipe().train.threads
    return [ClusterFold(where, fold, threads, run.named_root()) for fold in folds]


def _raise_failure(fold: ClusterFold, failure: Failure | None) -> None:
    if failure is None:
        return
    place = "" if fold.fold == NO_FOLD else f"fold {fold.fold} of {fold.run}: "
    message = f"{place}{failure.message}"
    raise named_error(failure.error_class, message) or RunError(message)


def _remote(function: Any, resources: Resources) -> Any:
    # Ray replaces a lost worker. An exception of the function is not retried.
    return (
        load_ray()
        .remote(function)
        .options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            max_retries=MAX_RETRIES,
            retry_exceptions=False,
        )
    )


def _import_training() -> None:
    """Import all of training in a worker: unpickling this function does it."""


def _autotune(run: str, data: str, quiet: bool, actor: Any) -> Failure | None:
    """Decide a run's ComputeConfig in a worker, unless it is decided."""

    def work(display: Display) -> None:
        with working_folder(run, is_at_top) as folder:
            autotune_run(Run.open(folder, data=data), display)

    return _work_reporting(work, run, quiet, actor)


def _train_fold(
    run: str,
    data: str,
    number: int,
    checkpoint_every: float,
    processes: int,
    quiet: bool,
    actor: Any,
) -> Failure | None:
    """Train a fold in a worker."""

    def is_needed(path: str) -> bool:
        return is_at_top(path) or path.startswith(f"{fold_folder(number)}/")

    def work(display: Display) -> None:
        with working_folder(run, is_needed) as folder:
            opened = Run.open(folder, data=data)
            with opened.fold(number).lock(LOCK_TIMEOUT):
                pass  # a lost worker has released the lock
            if processes > 1:
                train_in_processes(opened, [number], processes, checkpoint_every, quiet=True)
            else:
                with Interrupts() as interrupts:
                    checkpointer = Checkpointer(checkpoint_every, interrupts)
                    train_folds(opened, [number], checkpointer, display)

    return _work_reporting(work, run, quiet, actor)


def _work_reporting(
    work: Callable[[Display], None], run: str, quiet: bool, actor: Any
) -> Failure | None:
    """Do the work with a display that reports to the actor, and return its failure."""
    name = "/".join(Path(run).parts[-2:])
    display = Display(quiet, sink=RemoteSink(actor, name))
    try:
        work(display)
    except BestiaryError as error:
        return Failure(type(error).__name__, f"{error} (on {socket.gethostname()})")
    return None


def _resources(threads: int, processes: int) -> Resources:
    """Choose what a fold reserves.

    With GPUs, each rank gets one GPU with its share of the cores. Without, each gets `threads`
    cores, or all ranks get a machine.
    """
    nodes = alive_nodes()
    gpus_per_core = max(
        node.get("GPU", 0.0) / max(node.get("CPU", 1.0), 1.0)  # on the densest machine
        for node in nodes
    )
    if gpus_per_core > 0:
        return Resources(max(1.0, processes / gpus_per_core // 1), float(processes))
    smallest = min(node.get("CPU", 1.0) for node in nodes if node.get("CPU", 0.0) >= 1)
    return Resources(float(threads * processes or smallest), 0.0)
