"""The verb `curve`: images -> what fewer would have given, and what twice as many would give."""

import os
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location, RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.evaluation.curve_text import Curve


@checked_arguments
def curve(data: Location, run: RunLocation, /, *, quiet: bool = False) -> "Curve":
    """Say what twice as many images would give, class by class too.

    Heads are fitted to 1/8, 1/4, 1/2 and all of the training images, over several draws.
    A power law goes through their accuracies; the interval of the forecast is checked by
    forecasting all of a dataset from half of it.

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Run of these images whose features are cached here: a probe, or a run that began
        as one. A new folder: it is probed first.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> print(bestiary.curve("images", "probed", quiet=True))
    Heads on the frozen network, ...draws; each image is scored by a fold held out.
    ...
    """
    from pathlib import Path

    from bestiary.api.probe import probe
    from bestiary.errors import DataError
    from bestiary.evaluation.curve_text import measure_curve
    from bestiary.run.opening import opened_run
    from bestiary.run.run import Run
    from bestiary.storage.files import is_address

    if not is_address(data) and not Path(data).exists():
        raise DataError(f"{data}: no such folder or table; check the path")
    if not is_address(run) and not Run(Path(run)).exists:
        probe(data, run, quiet=quiet)
    # A table starts from a folder that the run knows, if it was trained here.
    images = None if not is_address(data) and Path(data).is_file() else data
    with opened_run(os.fspath(run), data=images) as opened:
        return measure_curve(opened)
