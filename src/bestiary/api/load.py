"""TODO api.load"""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.run.run import Run


def load(run: "Place | Run", /) -> "Ensemble":
    """The ensemble of a run, with scikit-learn's verbs on paths, bytes, PIL images and uint8
    arrays.

    Raises:
        RunError: no run is there, or none of its folds is trained.
    """
    from bestiary.ensemble.ensemble import Ensemble

    if not isinstance(run, str | Path):
        return Ensemble.load(run)
    with open_run(run) as found:
        return Ensemble.load(found)
