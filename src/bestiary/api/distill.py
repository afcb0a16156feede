"""The verb `distill`: an ensemble -> one student network that learns from its predictions."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.distillation.student import DistillResult


@checked_arguments
def distill(
    run: RunLocation,
    out: Location,
    /,
    *,
    data: Location | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    test_data: Location | None = None,
    test_share: float = 0.2,
    weight: float = 0.5,
    resume: bool = False,
    checkpoint_every: str = "5min",
    quiet: bool = False,
) -> "DistillResult":
    """Distill an ensemble into one network, and compare the two.

    A student learns from the members' predictions: for each image, that of the
    member that was not trained on it. The student is scored on images that it has
    not seen. The result is a run like any other: predict, evaluate, export.

    bestiary distill run student --test-data labeled-images-that-are-new

    Parameters
    ----------
    run
        Finished run: its folder, or its address in an object store.
    out
        Folder for the student. Nothing in it is ever overwritten.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    overrides
        Options of the student's recipe that differ from the run's, as
        section.key=value: a smaller model.backbone, more train.epochs.
    test_data
        Labeled images that are new to the run. The student is scored on them. So is the
        ensemble, and the average of the members' weights, which is kept if it scores
        higher than the student.
    test_share
        Without --test-data: share of the run's images that are held out from the student
        and that it is scored on.
    weight
        Weight of the member's prediction in the target. The rest is the label's.
    resume
        Resume a student where it was left.
    checkpoint_every
        Time between checkpoints inside an epoch, such as 90s, 5min or 2h, or never.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> distilled = bestiary.distill("run", "student", quiet=True)
    >>> len(bestiary.load(distilled.run).members)
    1
    """
    from bestiary.api.durations import CHECKPOINT_TIMES, parse_duration
    from bestiary.api.run import Run
    from bestiary.display import Display
    from bestiary.distillation.request import begin_or_open
    from bestiary.distillation.student import distill_run
    from bestiary.printable import shell_name
    from bestiary.run.opening import opened_run
    from bestiary.signals import Interrupts
    from bestiary.training.checkpointer import Checkpointer

    display = Display(quiet)
    seconds = parse_duration(checkpoint_every, "--checkpoint-every", CHECKPOINT_TIMES)
    test_path = Path(test_data) if test_data is not None else None
    with Interrupts() as interrupts, opened_run(os.fspath(run), data=data) as teacher:
        try:
            student = begin_or_open(
                teacher,
                Path(out),
                overrides,
                test_path,
                test_share,
                weight,
                resume,
                display,
            )
            checkpointer = Checkpointer(seconds, interrupts)
            return distill_run(teacher, Run.of(student), checkpointer, display)
        except KeyboardInterrupt:
            again = "the same command again (the student is not begun yet)"
            if Run(Path(out)).exists:
                again = f"bestiary distill {shell_name(run)} {shell_name(out)} --resume"
            display.notice(f"Interrupted. To go on: {again}")
            raise
