"""Folds of a run -> the same folds, trained by several processes of this machine that PyTorch's
elastic agent starts.

The agent is torchrun's own; this module starts it, and is what each process runs: `train_folds` in
a world of several. Knows nothing of how a fold is trained.
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

from bestiary import errors
from bestiary.display import Display
from bestiary.errors import BestiaryError, Interrupted, RunError
from bestiary.run.run import Run
from bestiary.signals import SIGNALS, Interrupts
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import train_folds
from bestiary.training.distributed import init_world

STOPPING_SECONDS = 600  # that processes have to keep their state in when they are stopped


def train_in_processes(
    run: Run, numbers: list[int], processes: int, every: float, *, quiet: bool
) -> None:
    """Train the folds `numbers`, each by `processes` processes together; a GPU for each where there
    are any.

    Args:
        run: that has been begun.
        numbers: of the folds.
        processes: how many.
        every: seconds between states inside an epoch.
        quiet: show nothing but notices.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM; the state is kept.
        BestiaryError: what one process has met.
    """
    said = json.dumps({"run": str(run.path), "folds": numbers, "every": every, "quiet": quiet})
    with tempfile.TemporaryDirectory(prefix="bestiary-") as folder, _agent_behaves():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="bestiary",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            shutdown_timeout=STOPPING_SECONDS,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "bestiary.training.launch", said)
        except SignalException as stop:
            raise Interrupted(int(stop.sigval)) from None
        except ChildFailedError as error:
            raise _what_failed(error) from None


@contextmanager
def _agent_behaves() -> Iterator[None]:
    """The agent sets handlers of signals that it never puts back, and logs what is told in one
    line here.
    """
    handled = [
        *SIGNALS,
        *(getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name)),
    ]
    former = {number: signal.getsignal(number) for number in handled}
    logger = logging.getLogger("torch.distributed.elastic")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for number, handler in former.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _what_failed(error: ChildFailedError) -> BestiaryError:
    """What a process has written down; where none has, which of them has ended and how."""
    for failure in error.failures.values():
        found: Any = failure.error_file_data.get("message")
        name, _, text = str(found.get("message") if isinstance(found, dict) else "").partition(": ")
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, BestiaryError):
            return kind(text)
    rank, failure = error.get_first_failure()
    how = (
        f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"exit status {failure.exitcode}"
    )
    return RunError(
        f"process {rank} of the training has ended by {how}; what it kept last is whole: look at "
        f"what it said, at "
        "memory too, then --resume"
    )


def _work(said: dict[str, Any]) -> None:
    """What each process does."""
    world = init_world()
    display = Display(said["quiet"], shown=world.is_main)
    with Interrupts() as interrupts, world.process_group():
        train_folds(
            Run(Path(said["run"])),
            said["folds"],
            Checkpointer(said["every"], interrupts, world),
            display,
        )


if __name__ == "__main__":
    try:
        _work(json.loads(sys.argv[1]))
    except BestiaryError as error:
        ErrorHandler().record_exception(error)
        sys.exit(2)
    except Interrupted as stop:
        sys.exit(128 + stop.number)
