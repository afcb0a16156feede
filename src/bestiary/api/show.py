"""The verb `show`: a run -> its state and score in a few lines."""

from typing import TYPE_CHECKING

from bestiary.api.arguments import Location

if TYPE_CHECKING:
    from bestiary.evaluation.summary import Summary


def show(run: Location, /) -> "Summary":
    """Show what a run is, how far it is trained, and its out-of-fold score.

    Parameters
    ----------
    run
        Run, finished or not: its folder, or its address in an object store.

    Examples
    --------
    >>> import bestiary
    >>> summary = bestiary.show("run")
    >>> summary.images, summary.classes, len(summary.folds)
    (36, 3, 3)
    """
    from bestiary.evaluation.summary import summarize
    from bestiary.run.opening import opened_run

    with opened_run(run) as opened:
        return summarize(opened)
