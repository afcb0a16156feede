"""The function `load`: a run -> its ensemble, to predict from Python."""

from typing import TYPE_CHECKING

from bestiary.api.arguments import Location
from bestiary.argument_types import checked_arguments
from bestiary.run.run import Run

if TYPE_CHECKING:
    from bestiary.api.ensemble import Ensemble


@checked_arguments
def load(run: Location | Run, /) -> "Ensemble":
    """Load the ensemble of a run, with scikit-learn's methods.

    Parameters
    ----------
    run
        A trained run: its folder, its address in an object store or on the Hugging Face hub
        (hf://USER/NAME), or what `bestiary.train` has returned.

    Returns
    -------
    Ensemble
        Its predict, predict_proba, predict_frame and score take paths, bytes, files, PIL
        images, uint8 arrays and tensors, and columns of them. Threads may share it, and it can
        be pickled. In a notebook it shows its accuracy and its surest mistakes.

    Raises
    ------
    RunError
        There is no run, or none of its folds has ended.
    ForkError
        This process was forked from one that had computed.

    Examples
    --------
    >>> import bestiary
    >>> ensemble = bestiary.load("run")
    >>> ensemble.predict_proba(["new.jpg"]).shape
    (1, 3)
    """
    from bestiary.api.ensemble import Ensemble
    from bestiary.run.opening import opened_run

    if isinstance(run, Run):
        return Ensemble.load(run)
    with opened_run(run) as opened:
        return Ensemble.load(opened)
