"""A run whose folds are trained -> its ensemble, what its confidence is worth, and its scores, on disk."""

from bestiary.ensemble import assemble
from bestiary.evaluate.calibrate import calibrate_run
from bestiary.evaluate.oof import score_run
from bestiary.run import Run


def finish_run(run: Run) -> None:
    """Assemble the members of `run` that are trained, calibrate them and score them.

    Raises:
        BestiaryError: a file of the run is damaged, or its folder cannot be written.
    """
    assemble(run)
    calibrate_run(run)
    score_run(run)
