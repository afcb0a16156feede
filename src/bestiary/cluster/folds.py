"""Fold jobs -> the same folds, trained by Ray wherever its cluster has room, and shown on one
display.

A job is a fold of a run that has been begun; a run's folds, or those of an ablation's variants, are
given together. A job that loses its worker or machine is started anew by Ray and goes on from its
last state, which lies with the run in storage that all machines see. Knows nothing of how a fold is
trained.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bestiary import errors
from bestiary.cluster.connection import Connection, load_ray
from bestiary.display import Display
from bestiary.errors import BestiaryError, RunError
from bestiary.run.run import Run
from bestiary.signals import Interrupts
from bestiary.storage.mirror import working_folder
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import settle_run, train_folds
from bestiary.training.launch import train_in_processes

RETRIES = 10  # lost workers and machines that one job survives
PATIENCE = 120.0  # seconds that a job waits for the lock of a worker that is just being lost
STOPPING_SECONDS = 60.0  # that jobs have to keep their state in when they are stopped


class FoldJob(NamedTuple):
    """One fold of one run.

    Attributes:
        run: its path or address, the same on all machines.
        fold: number of the fold that is held out.
        threads: cores that it asks for where there are no GPUs; 0: all that a machine has.
    """

    run: str
    fold: int
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    """What one job asks Ray for: so many cores and GPUs of one machine."""

    cpus: float
    gpus: float


def train_on_ray(
    jobs: Sequence[FoldJob], cluster: Connection, every: float, processes: int, display: Display
) -> None:
    """Train all folds that have not ended yet.

    Args:
        jobs: folds of runs that have been begun, in the order in which they are started.
        cluster: which machines do it.
        every: seconds between states inside an epoch.
        processes: that train a fold together, on one machine.
        display: shows all of them.

    Raises:
        ArgumentError: no cluster answers.
        KeyboardInterrupt: Ctrl-C; the jobs keep their states.
        BestiaryError: what a job has met; the others are stopped and keep their states.
    """
    ray = load_ray()
    cluster.wait()
    # The actor that all report to stays where this command is, so that no lost machine takes it
    # along.
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=True
    )
    board = (
        ray.remote(ProgressActor)
        .options(num_cpus=0, max_restarts=-1, scheduling_strategy=here)
        .remote()
    )
    asked = {job.run: _resources(job.threads, processes) for job in jobs}
    # What is decided by measuring is decided once, before folds begin side by side.
    settling = {
        _task(_settle, resources).remote(run, display.quiet, board): FoldJob(run, -1)
        for run, resources in asked.items()
    }
    # Meanwhile workers start where there is room for folds, and import what they need.
    starting = {_task(_start, asked[job.run]).remote(): job for job in jobs[len(asked) :]}
    _follow(settling | starting, board, display)
    training = {
        _task(_train, asked[job.run]).remote(
            job.run, job.fold, every, processes, display.quiet, board
        ): job
        for job in jobs
    }
    _follow(training, board, display)


def _follow(jobs: dict[Any, FoldJob], board: Any, display: Display) -> None:
    """Show what jobs report until all have ended; where one fails, or the user stops it, the
    others are stopped.
    """
    ray = load_ray()
    waiting = list(jobs)
    try:
        with _Table(display, len({job.run for job in jobs.values()}) > 1) as table:
            while waiting:
                ended, waiting = ray.wait(waiting, timeout=0.2)
                with suppress(
                    ray.exceptions.RayError
                ):  # then the reports since the last look are lost, no more
                    table.show(ray.get(board.take.remote()))
                for job in ended:
                    _raise_failure(jobs[job], _outcome(job))
    except BaseException:
        for job in waiting:
            ray.cancel(job)
        if waiting:
            ray.wait(waiting, num_returns=len(waiting), timeout=STOPPING_SECONDS)
        raise


def _outcome(job: Any) -> tuple[str, str] | None:
    """Kind and line of a failure, None where the job is done."""
    ray = load_ray()
    try:
        failure: tuple[str, str] | None = ray.get(job)
        return failure
    except ray.exceptions.RayTaskError:
        raise  # a defect, whose traceback tells where
    except ray.exceptions.RayError as error:
        return (
            "RunError",
            f"was given up after {RETRIES} lost workers ({type(error).__name__}); look after the "
            f"cluster",
        )


def _raise_failure(job: FoldJob, failure: tuple[str, str] | None) -> None:
    if failure is None:
        return
    kind = getattr(errors, failure[0], RunError)
    raise kind(failure[1] if job.fold < 0 else f"fold {job.fold} of {job.run}: {failure[1]}")


class ProgressActor:
    """The actor that jobs report to, and that the one display looks at."""

    def __init__(self) -> None:
        self._said: list[tuple[str, str, Any]] = []

    def tell(self, kind: str, run: str, what: Any) -> None:
        """Note a report: ``line``, ``notice`` or ``progress``; which run's; and a text, or
        (fold, share done).
        """
        self._said.append((kind, run, what))

    def take(self) -> list[tuple[str, str, Any]]:
        """What was reported since the last time."""
        said, self._said = self._said, []
        return said


class _Reporter:
    """A job's listener: sends what a display is told to the board; how far it has come once a
    second.
    """

    def __init__(self, board: Any, run: str) -> None:
        self._tell, self._run, self._last = board.tell.remote, run, 0.0

    def line(self, text: str) -> None:
        self._tell("line", self._run, text)

    def notice(self, text: str) -> None:
        self._tell("notice", self._run, text)

    def progress(self, fold: int, done: float) -> None:
        if time.monotonic() - self._last >= 1 or done == 1:
            self._last = time.monotonic()
            self._tell("progress", self._run, (fold, done))


class _Table:
    """All jobs on one display: a bar for each on a terminal, lines elsewhere."""

    def __init__(self, display: Display, several: bool) -> None:
        self._display, self._several = display, several
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=display.console,
            transient=True,
            disable=display.quiet or not display.console.is_terminal,
        )
        self._tasks: dict[tuple[str, int], Any] = {}

    def __enter__(self) -> "_Table":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, said: list[tuple[str, str, Any]]) -> None:
        for kind, run, what in said:
            prefix = f"{run}  " if self._several else ""
            if kind == "progress":
                fold, done = what
                if (run, fold) not in self._tasks:
                    self._tasks[run, fold] = self._bars.add_task(
                        f"{prefix}fold {fold + 1}", total=1.0
                    )
                self._bars.update(self._tasks[run, fold], completed=done)
            else:
                (self._display.notice if kind == "notice" else self._display.line)(prefix + what)


def _task(function: Any, resources: Resources) -> Any:
    # A worker that is lost is Ray's to replace; what a job itself raises comes back as its result.
    return (
        load_ray()
        .remote(function)
        .options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            max_retries=RETRIES,
            retry_exceptions=False,
        )
    )


def _start() -> None:
    """What a worker does that has nothing to do yet: finding this function imports all of
    training.
    """


def _settle(run: str, quiet: bool, board: Any) -> tuple[str, str] | None:
    """What Ray's worker does first: the trial of arithmetic, where the run has not settled it."""
    at_top = working_folder(run, lambda path: "/" not in path)
    with _reported(run, quiet, board) as (display, failure), at_top as folder:
        settle_run(Run.open(folder), display)
    return failure[0] if failure else None


def _train(
    run: str, fold: int, every: float, processes: int, quiet: bool, board: Any
) -> tuple[str, str] | None:
    """What Ray's worker does for one fold."""
    with _reported(run, quiet, board) as (display, failure):
        own = f"fold-{fold}/"
        with working_folder(run, lambda path: "/" not in path or path.startswith(own)) as folder:
            opened = Run.open(folder)
            with opened.fold(fold).lock(PATIENCE):
                pass  # the worker that is lost has let go of it
            if processes > 1:
                train_in_processes(opened, [fold], processes, every, quiet=True)
            else:
                with Interrupts() as interrupts:
                    train_folds(opened, [fold], Checkpointer(every, interrupts), display)
    return failure[0] if failure else None


@contextmanager
def _reported(run: str, quiet: bool, board: Any) -> Iterator[tuple[Display, list[tuple[str, str]]]]:
    """A display that reports to the board, and a list that a failure within the block is put
    into.
    """
    failure: list[tuple[str, str]] = []
    try:
        yield Display(quiet, listener=_Reporter(board, "/".join(Path(run).parts[-2:]))), failure
    except BestiaryError as error:
        failure.append((type(error).__name__, f"{error} (on {socket.gethostname()})"))


def _resources(threads: int, processes: int) -> Resources:
    """What a fold asks for: a GPU a process with its share of the cores; without GPUs `threads`
    a process.
    """
    nodes = [node["Resources"] for node in load_ray().nodes() if node["Alive"]]
    gpus = max(
        (node.get("GPU", 0.0) / max(node.get("CPU", 1.0), 1.0), node.get("CPU", 1.0))
        for node in nodes
    )
    if gpus[0] > 0:
        return Resources(max(1.0, processes / gpus[0] // 1), float(processes))
    cores = min(node.get("CPU", 1.0) for node in nodes if node.get("CPU", 0.0) >= 1)
    return Resources(float(threads * processes or cores), 0.0)
