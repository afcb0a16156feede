"""Argument types and run opening that several verbs share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

if TYPE_CHECKING:
    from bestiary.run.run import Run

Location = str | Path
"""A path, or an address in an object store such as s3://bucket/run."""
Many = Parameter(consume_multiple=True)
"""An option that takes several values: --set a=1 b=2."""


@contextmanager
def open_run(
    run: Location,
    wanted: Callable[[str], bool] | None = None,
    data: Location | None = None,
) -> "Iterator[Run]":
    """Open a run; one in an object store is copied to a working folder for the block.

    Args:
        run: path or address.
        wanted: tells for a path inside the run whether to copy it. By default, what prediction
            needs.
        data: folder or address of the run's images, where the user names it.

    Yields:
        The run.

    Raises:
        RunError: there is no run, or the store cannot be reached.
        ArgumentError: `data` is no folder.
    """
    from bestiary.run.layout import needed_for_prediction
    from bestiary.run.opening import opened_run

    with opened_run(run, wanted or needed_for_prediction, data) as opened:
        yield opened
