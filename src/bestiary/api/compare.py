"""The verb `compare`: paired differences between finished runs."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location, RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.reporting.compare_page import Compared


@checked_arguments
def compare(
    run: RunLocation,
    other: RunLocation,
    /,
    *more: RunLocation,
    data: Location | None = None,
    out: Location | None = None,
) -> "Compared":
    """Compare finished runs on the images they share.

    Each image is scored by the member of each run that was not trained on it.
    The differences are paired: image by image.

    Parameters
    ----------
    run
        Run that the others are compared with: its folder, or its address in an object
        store.
    other
        Another run.
    more
        More runs.
    data
        Folder or address of the first run's images, on a machine where you have not
        trained it yourself. A run from elsewhere names no place to read from.
    out
        Folder for compare.html, a page with the images won and lost, compare.md and
        compare.tex.

    Examples
    --------
    >>> import bestiary
    >>> result = bestiary.compare("run", "probed")
    >>> result.comparison.names
    ['run', 'probed']
    """
    from bestiary.api.output_folder import check_output_folder
    from bestiary.display import Display
    from bestiary.evaluation.compare import compare_runs
    from bestiary.reporting.compare_page import Compared, write_comparison
    from bestiary.run.opening import opened_run

    if out is not None:
        check_output_folder("--out", Path(out))
    with ExitStack() as stack:
        runs = [stack.enter_context(opened_run(os.fspath(run), data=data))]
        runs += [
            stack.enter_context(opened_run(os.fspath(location))) for location in (other, *more)
        ]
        comparison = compare_runs(runs)
        if out is None:
            return Compared(comparison, [])
        compared = write_comparison(comparison, Path(out))
    if comparison.images.notice:
        Display().notice(comparison.images.notice)
    return compared
