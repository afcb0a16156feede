"""TODO api.distill"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place, open_run

if TYPE_CHECKING:
    from bestiary.distillation.student import Distilled


def distill(
    run: Place,
    out: Place,
    /,
    *,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    test_data: Place | None = None,
    test_share: float = 0.2,
    weight: float = 0.5,
    resume: bool = False,
    checkpoint_every: str = "5min",
    quiet: bool = False,
) -> "Distilled":
    """Make one network of an ensemble, and say what it costs and wins.

    A student learns from the members' answers, for each image that of the one
    member which was not trained on it. It is judged by images that it has not
    seen. The result is a run like any other: predict, evaluate, export.

    bestiary distill run student --test-data labeled-images-that-are-new

    Parameters ---------- run Folder of a finished run, or its address in a store. out Folder for
    the student; nothing in it is ever overwritten. overrides Options of the student's recipe as
    section.key=value, where it is to differ from the run's: a smaller model.backbone, more
    train.epochs. test_data Labeled images that are new to the run, to judge by; then the ensemble
    itself is measured, and the mean of the members' weights is tried too, and kept where it is
    better. test_share Without --test-data: the share of the run's own images that is kept from the
    student and judges it. weight Share of what the student is to answer that is the member's
    answer; the rest is the label. resume Go on with a student where it was left. checkpoint_every
    Time between states kept inside an epoch, such as 90s, 5min or 2h, or never. quiet Show no
    progress.
    """
    from bestiary.api.durations import parse_duration
    from bestiary.display import Display
    from bestiary.distillation.student import begin_or_open, distill_run
    from bestiary.signals import Interrupts
    from bestiary.training.checkpointer import Checkpointer

    display, every = Display(quiet), parse_duration(checkpoint_every)
    given = Path(test_data) if test_data is not None else None
    with Interrupts() as interrupts, open_run(run) as teacher:
        try:
            student = begin_or_open(
                teacher, Path(out), overrides, given, test_share, weight, resume, display
            )
            return distill_run(teacher, student, Checkpointer(every, interrupts), display)
        except KeyboardInterrupt:
            display.notice(f"Interrupted. To go on: bestiary distill {run} {out} --resume")
            raise
