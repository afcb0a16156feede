"""The verb `show`: a run -> its state and score in a few lines; without a run, the runs below."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, overload

from bestiary.api.arguments import RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.evaluation.run_list import RunList
    from bestiary.evaluation.summary import Summary


@overload
def show(run: RunLocation, /) -> "Summary": ...


@overload
def show() -> "RunList": ...


@checked_arguments
def show(run: RunLocation | None = None, /) -> "Summary | RunList":
    """Show what a run is, how far it is trained, and its score.

    Without RUN, the runs below the current folder are listed.

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
    from bestiary.evaluation.run_list import list_runs
    from bestiary.evaluation.summary import summarize
    from bestiary.run.opening import opened_run

    if run is None:
        return list_runs(Path())
    with opened_run(os.fspath(run)) as opened:
        return summarize(opened)
