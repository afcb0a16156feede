"""The verbs that make a run into what is handed over: export, distill."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place, opened

if TYPE_CHECKING:
    from bestiary.deploy.distill import Distilled
    from bestiary.deploy.export import Exported
else:  # the command line reads the annotations; what the verbs return is none of its business
    Distilled = Exported = Any


def export(
    run: Place,
    out: Place,
    /,
    *,
    format: Literal["onnx", "openvino", "torch"] = "onnx",
    int8: bool = False,
    max_drop: float = 0.01,
    prune: int | None = None,
    quiet: bool = False,
) -> "Exported":
    """Write all members of a run as one file that needs no bestiary.

    Pixels go in, calibrated probabilities come out: normalisation, members,
    views at test time, averaging and temperature are inside, and so are the class
    names, how to make the input, and the thresholds for sets, sure answers and
    unknown pictures. The file is opened again and compared with the network.

    Parameters
    ----------
    run
        Folder of a trained run, or its address in a store.
    out
        File to write: .onnx, .xml (its weights go to .bin beside it) or .pt2. Nothing is ever overwritten.
    format
        onnx, openvino (faster on a CPU) or torch (a program of torch.export).
    int8
        Compute in 8-bit integers: a quarter of the size. Ranges are taken from pictures of the run.
    max_drop
        With int8: the share of pictures, each judged by the member that was not trained on it, that may be lost to it
        at most; beyond that nothing is written.
    prune
        Keep only so many members, those with the least log loss on the pictures that they held out.
    quiet
        Show no progress.
    """
    from bestiary.deploy.export import export_run
    from bestiary.display import Display

    with opened(run) as found:
        return export_run(found, Path(out), format, int8=int8, max_drop=max_drop, prune=prune, display=Display(quiet))


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
    from bestiary.deploy.distill import begin_or_open, distill_run
    from bestiary.display import Display
    from bestiary.train.interrupts import Interrupts
    from bestiary.train.keeper import Keeper, seconds_of

    display, every = Display(quiet), seconds_of(checkpoint_every)
    given = Path(held) if held is not None else None
    with Interrupts() as interrupts, opened(run) as teacher:
        try:
            student = begin_or_open(teacher, Path(out), overrides, given, hold_out, weight, resume, display)
            return distill_run(teacher, student, Keeper(every, interrupts), display)
        except KeyboardInterrupt:
            display.notice(f"Interrupted. To go on: bestiary distill {run} {out} --resume")
            raise
