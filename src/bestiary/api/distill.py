"""TODO api.distill"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place, opened

if TYPE_CHECKING:
    from bestiary.distillation.student import Distilled


def distill(
    run: Place,
    out: Place,
    /,
    *,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    held: Place | None = None,
    hold_out: float = 0.2,
    weight: float = 0.5,
    resume: bool = False,
    checkpoint_every: str = "5min",
    quiet: bool = False,
) -> "Distilled":
    """Make one network of an ensemble, and say what it costs and wins.

    A student learns from the members' answers, for each picture that of the one
    member which was not trained on it. It is judged by pictures that it has not
    seen. The result is a run like any other: predict, evaluate, export.

    bestiary distill run student --held labelled-pictures-that-are-new

    Parameters
    ----------
    run
        Folder of a finished run, or its address in a store.
    out
        Folder for the student; nothing in it is ever overwritten.
    overrides
        Options of the student's recipe as section.key=value, where it is to differ from the run's: a smaller
        model.backbone, more train.epochs.
    held
        Labelled pictures that are new to the run, to judge by; then the ensemble itself is measured, and the mean of
        the members' weights is tried too, and kept where it is better.
    hold_out
        Without --held: the share of the run's own pictures that is kept from the student and judges it.
    weight
        Share of what the student is to answer that is the member's answer; the rest is the label.
    resume
        Go on with a student where it was left.
    checkpoint_every
        Time between states kept inside an epoch, such as 90s, 5min or 2h, or never.
    quiet
        Show no progress.
    """
    from bestiary.api.durations import seconds_of
    from bestiary.display import Display
    from bestiary.distillation.student import begin_or_open, distill_run
    from bestiary.signals import Interrupts
    from bestiary.training.checkpointer import Keeper

    display, every = Display(quiet), seconds_of(checkpoint_every)
    given = Path(held) if held is not None else None
    with Interrupts() as interrupts, opened(run) as teacher:
        try:
            student = begin_or_open(
                teacher, Path(out), overrides, given, hold_out, weight, resume, display
            )
            return distill_run(teacher, student, Keeper(every, interrupts), display)
        except KeyboardInterrupt:
            display.notice(f"Interrupted. To go on: bestiary distill {run} {out} --resume")
            raise
