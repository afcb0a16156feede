"""TODO api.show"""

from typing import TYPE_CHECKING

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.evaluation.summary import Summary


def show(run: Place, /) -> "Summary":
    """Show what a run is, how far it has come, and its out-of-fold score.

    Parameters
    ----------
    run
        Folder of a run, finished or not, or its address in a store.
    """
    from bestiary.evaluation.summary import summarize

    with open_run(run) as found:
        return summarize(found)
