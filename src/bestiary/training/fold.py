"""A fold that may fail on the way -> a fold that ends, or one line that says why it cannot and what
is kept.

Short memory and a loss that is not finite set the fold back to its last good state; a stop and lost
images keep the state first. Knows nothing of how a fold is trained.
"""

from collections.abc import Callable

from accelerate.utils.memory import clear_device_cache

from bestiary.atomic import sweep
from bestiary.display import TrainingDisplay
from bestiary.errors import DamagedError, DataError, RunError
from bestiary.model.classifier import check_member
from bestiary.model.compute import ComputeConfig
from bestiary.run.layout import FoldFiles
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.dataset import TrainingSet
from bestiary.training.distributed import LocalRankError
from bestiary.training.loop import train_fold
from bestiary.training.non_finite import NotFiniteError
from bestiary.training.out_of_memory import ShortMemoryError, halved_parts, is_out_of_memory
from bestiary.training.state import Features, build_fold_state


def train_fold_safely(
    data: TrainingSet,
    fold: int,
    files: FoldFiles,
    features: Features,
    arithmetic: ComputeConfig,
    checkpointer: Checkpointer,
    display: TrainingDisplay,
) -> None:
    """Train one fold, or go on with it; arguments as `train_fold` and `build_fold_state` take them.

    Raises:
        DataError: images have vanished or cannot be read any more; the state is kept.
        RunError: the loss is not finite again, or memory does not suffice for two images a step.
        Interrupted: the user has stopped it; the state is kept.
        BestiaryError: the run's folder cannot be written.
    """
    notice = display.display.notice
    with data.world.synchronized() as main:
        if main:
            sweep(files.folder)
            _drop_damaged(files, notice)
    checkpointer.suspicious, parts = False, 1
    while True:
        try:
            with checkpointer.noting():
                return _train(data, fold, files, features, arithmetic, checkpointer, display, parts)
        except NotFiniteError as error:
            if checkpointer.suspicious:
                raise RunError(f"fold {fold}: {error}") from None
            checkpointer.suspicious = True
            notice(f"fold {fold}: {error}; goes back to its last good state, once")
        except ShortMemoryError as error:
            parts = halved_parts(data, fold, error.parts)
            notice(
                f"fold {fold}: out of memory; goes back to its last state with each batch of "
                f"{data.recipe.train.batch_size} in {parts} parts, gradients added up"
            )
        clear_device_cache(
            garbage_collection=True
        )  # out here, since the errors held the old session's tensors


def _train(
    data: TrainingSet,
    fold: int,
    files: FoldFiles,
    features: Features,
    arithmetic: ComputeConfig,
    checkpointer: Checkpointer,
    display: TrainingDisplay,
    parts: int,
) -> None:
    """One attempt, with each batch in `parts` at least; a session lives no longer than this."""
    session = None
    try:
        session = build_fold_state(data, fold, files, features, arithmetic, display.display.notice)
        session.progress.parts = parts = max(session.progress.parts, parts)
        checkpointer.begin(session)
        train_fold(data, fold, files, session, checkpointer, display)
    except (KeyboardInterrupt, DataError):
        if session is not None:
            checkpointer.keep_on_stopping(session, files)
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if data.world.size > 1:  # the others wait for gradients, and cannot be told to go back
            raise LocalRankError(
                f"fold {fold}: out of memory in process {data.world.rank} of {data.world.size}; go "
                f"on with --resume "
                "and more processes, or begin a new run with a smaller view.size or "
                "train.batch_size"
            ) from None
        raise ShortMemoryError(parts) from None
    finally:
        if session is not None:
            session.end_logging()


def _drop_damaged(files: FoldFiles, notice: Callable[[str], None]) -> None:
    """Without the weights of its best epoch so far, a fold has to begin anew."""
    if not files.weights.exists():
        return
    try:
        check_member(files.weights)
    except DamagedError as error:
        notice(f"{error}: it begins anew")
        for file in (files.previous_state, files.state, files.weights):
            file.unlink(missing_ok=True)
