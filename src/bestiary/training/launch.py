"""Launch of several processes on this machine that train the same folds together.

PyTorch's elastic agent, which is torchrun's own, starts the processes. This module starts the
agent, and is also the program of each process: `train_folds` in a world of several ranks. Does not
know how a fold is trained.
"""

import json
import logging
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ErrorHandler
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bestiary.display import Display
from bestiary.errors import BestiaryError, Interrupted, RunError, named_error
from bestiary.run.run import Run
from bestiary.signals import SIGNALS, Interrupts
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import train_folds
from bestiary.training.distributed import init_world

# Time that interrupted processes have to save their checkpoint.
SHUTDOWN_SECONDS = 600


def train_in_processes(
    run: Run, folds: list[int], processes: int, every: float, *, quiet: bool
) -> None:
    """Train folds, each by several processes together; with GPUs, each process has its own.

    Args:
        run: that has been begun.
        folds: numbers of the folds.
        processes: number of processes.
        every: seconds between checkpoints inside an epoch.
        quiet: show nothing but notices.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM; a checkpoint is saved.
        BestiaryError: one process failed.
    """
    request = {
        "run": str(run.path),
        "data": run.data,
        "folds": folds,
        "every": every,
        "quiet": quiet,
    }
    with tempfile.TemporaryDirectory(prefix="bestiary-") as log_folder, _contain_agent():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="bestiary",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=log_folder),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        launch = elastic_launch(config, sys.executable)
        try:
            launch("-m", "bestiary.training.launch", json.dumps(request))
        except SignalException as stop:
            raise Interrupted(int(stop.sigval)) from None
        except ChildFailedError as error:
            raise error_of_child(error) from None


@contextmanager
def _contain_agent() -> Iterator[None]:
    """Restore the signal handlers that the agent replaces, and silence its log.

    The agent never restores handlers itself, and logs at length what is one line here.
    """
    handled = [*SIGNALS]
    if hasattr(signal, "SIGQUIT"):
        handled.append(signal.SIGQUIT)
    previous = {number: signal.getsignal(number) for number in handled}
    logger = logging.getLogger("torch.distributed.elastic")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for number, handler in previous.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def error_of_child(error: ChildFailedError) -> BestiaryError:
    """Turn the failure of a process into the error that is raised in the parent.

    Args:
        error: from the elastic agent, with the error file of each process that failed.

    Returns:
        The error that a process has recorded. Without one, an error that says which process ended
        and how.
    """
    for failure in error.failures.values():
        recorded = recorded_error(failure.error_file_data.get("message"))
        if recorded is not None:
            return recorded
    rank, failure = error.get_first_failure()
    code = failure.exitcode
    end = f"signal {-code}" if code < 0 else f"exit status {code}"
    return RunError(
        f"process {rank} of the training has ended by {end}; its last checkpoint is intact: look "
        "at its output, at memory too, then --resume"
    )


def recorded_error(content: Any) -> BestiaryError | None:
    """Read the error that a process has recorded.

    Args:
        content: the message of its error file, which has ``Class: message``.

    Returns:
        The error; None if it is none of bestiary's.
    """
    if not isinstance(content, dict):
        return None
    record = str(content.get("message"))
    name, _, message = record.partition(": ")
    return named_error(name, message)


def _train_as_rank(request: dict[str, Any]) -> None:
    """Train as one of the processes."""
    world = init_world()
    display = Display(request["quiet"], visible=world.is_main)
    with Interrupts() as interrupts, world.process_group():
        run = Run(Path(request["run"]), data=request["data"])
        checkpointer = Checkpointer(request["every"], interrupts, world)
        train_folds(run, request["folds"], checkpointer, display)


if __name__ == "__main__":
    try:
        _train_as_rank(json.loads(sys.argv[1]))
    except BestiaryError as error:
        ErrorHandler().record_exception(error)
        sys.exit(2)
    except Interrupted as stop:
        sys.exit(128 + stop.number)
