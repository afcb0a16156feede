"""TODO api.compare"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.reporting.compare_page import Compared


def compare(run: Place, other: Place, /, *more: Place, out: Place | None = None) -> "Compared":
    """Compare finished runs on the images they share: paired differences of accuracy, with
    intervals and a test.

    Each image is judged by each run's member that has not seen it.

    Parameters
    ----------
    run
        Folder of the run that the others are compared with, or its address in a store, as of all.
    other
        Folder of a run.
    more
        Folders of more runs.
    out
        Folder for compare.html, a page with the images won and lost, compare.md and compare.tex.
    """
    from bestiary.evaluation.compare import compare_runs
    from bestiary.reporting.compare_page import Compared, write_comparison

    with ExitStack() as held:
        found = compare_runs([held.enter_context(open_run(place)) for place in (run, other, *more)])
        return Compared(found, []) if out is None else write_comparison(found, Path(out))
