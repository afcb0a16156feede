"""The verb `join`: finished runs of different backbones -> one run that blends them."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.evaluation.joining import Joined


@checked_arguments
def join(run: RunLocation, other: RunLocation, /, *rest: RunLocation) -> "Joined":
    """Join finished runs on the same folds into one run.

    Each member of the new run sums the logits of the members of its parts, with
    weights of 0 or more. The weights of a fold's member are fitted on the other
    folds, so the new run's score is honest. It is a run like any other: predict,
    evaluate, serve, report and export take it. Each network sees an image at its own
    size.

    Parameters
    ----------
    run
        A finished run. Its recipe stands for the new run's.
    other
        Another one, trained on the same images with the same folds and seed, such as
        another backbone or image size.
    rest
        More runs, if there are any; last, the folder of the new run, which must not exist.

    Examples
    --------
    >>> import bestiary
    >>> joined = bestiary.join("run", "probed", "joined")  # doctest: +SKIP
    >>> print(joined.gain.blend)  # doctest: +SKIP
    0.9722 [0.8583, 0.9951]
    """
    from dataclasses import replace

    from bestiary.api.run import Run
    from bestiary.errors import ArgumentError
    from bestiary.evaluation.joining import join_runs
    from bestiary.run.opening import opened_run
    from bestiary.storage.files import is_address

    if not rest:
        raise ArgumentError("join: name two or more runs, then the folder of the new run")
    *more, out = rest
    if is_address(out):
        raise ArgumentError(f"join {out}: the new run needs a folder of this machine")
    with ExitStack() as stack:
        runs = [
            stack.enter_context(opened_run(os.fspath(location))) for location in (run, other, *more)
        ]
        joined = join_runs(runs, Path(out))
    return replace(joined, run=Run.of(joined.run))
