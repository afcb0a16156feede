"""Training of one fold, with recovery from errors and interruption.

A non-finite loss and a lack of memory return the fold to its last checkpoint. An interruption or a
vanished image saves a checkpoint first. Does not know how a fold is trained.
"""

from accelerate.utils.memory import clear_device_cache

from bestiary.atomic import remove_leftovers
from bestiary.errors import DamagedError, DataError, RunError
from bestiary.model.classifier import check_member
from bestiary.model.halving import is_out_of_memory
from bestiary.training.fold_job import FoldJob
from bestiary.training.fold_setup import build_fold_state
from bestiary.training.loop import train_fold
from bestiary.training.non_finite import NotFiniteError
from bestiary.training.out_of_memory import (
    OutOfMemoryRetry,
    doubled_parts,
    out_of_memory_notice,
    rank_out_of_memory,
)


def train_fold_safely(job: FoldJob) -> None:
    """Begin or resume one fold, and train it to the end.

    Args:
        job: the fold.

    Raises:
        DataError: images have vanished or cannot be read; a checkpoint is saved.
        RunError: the loss is not finite again, or memory does not suffice for two images a step.
        Interrupted: by Ctrl-C or SIGTERM; a checkpoint is saved.
        BestiaryError: the run's folder cannot be written.
    """
    checkpointer = job.checkpointer
    job.world.on_main(lambda: _clean_up(job))
    checkpointer.after_non_finite = False
    batch_size = job.recipe.train.batch_size
    parts = 1
    is_finished = False
    while not is_finished:
        try:
            with checkpointer.poll_signals():
                _attempt(job, parts)
            is_finished = True
        except NotFiniteError as error:
            if checkpointer.after_non_finite:
                raise RunError(f"fold {job.fold}: {error}") from None
            checkpointer.after_non_finite = True
            job.notice(f"fold {job.fold}: {error}; returns to its last good checkpoint, once")
        except OutOfMemoryRetry as error:
            parts = doubled_parts(job.fold, batch_size, error.parts)
            job.notice(out_of_memory_notice(job.fold, batch_size, parts))
        # Accelerate's wrapper of the network refers to itself, so the memory of an attempt is not
        # free before the next fold needs it. Only here: inside the handlers, the errors still hold
        # the failed attempt's tensors.
        clear_device_cache(garbage_collection=True)


def _attempt(job: FoldJob, parts: int) -> None:
    """Train the fold once, each batch in `parts` parts or more; its state is freed afterwards."""
    state = None
    ended = False
    try:
        state = build_fold_state(job, parts)
        parts = state.progress.parts
        job.checkpointer.start_fold(state)
        train_fold(job, state)
        ended = True
    except (KeyboardInterrupt, DataError):
        if state is not None:
            job.checkpointer.save_on_interrupt(state, job.files)
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        world = job.world
        if world.size > 1:
            raise rank_out_of_memory(job.fold, world.rank, world.size) from None
        raise OutOfMemoryRetry(parts) from None
    finally:
        if state is not None:
            state.trackers.finish(ended)


def _clean_up(job: FoldJob) -> None:
    """Remove what a crash left behind, and a fold whose weights are damaged."""
    remove_leftovers(job.files.folder)
    _drop_damaged_fold(job)


def _drop_damaged_fold(job: FoldJob) -> None:
    """Remove the checkpoints of a fold whose best weights are damaged; it begins again."""
    files = job.files
    if not files.weights.exists():
        return
    try:
        check_member(files.weights)
    except DamagedError as error:
        job.notice(f"{error}: the fold begins again")
        for file in (files.previous_state, files.state, files.weights):
            file.unlink(missing_ok=True)
