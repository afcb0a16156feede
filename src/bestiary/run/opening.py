"""A run's path or address -> the open run; of one in an object store, a working copy.

Knows nothing of what is done with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.errors import RunError
from bestiary.run.layout import needed_for_prediction
from bestiary.run.run import Run
from bestiary.storage.files import address_of
from bestiary.storage.mirror import working_folder


@contextmanager
def opened_run(
    run: str | Path,
    wanted: Callable[[str], bool] = needed_for_prediction,
) -> Iterator[Run]:
    """Open a run; one in an object store is copied to a working folder for the block.

    Args:
        run: path or address.
        wanted: tells for a path inside the run whether to copy it. By default, what prediction
            needs.

    Yields:
        The run.

    Raises:
        RunError: there is no run, or the store cannot be reached.

    Example:
        >>> with opened_run("run") as run:
        ...     run.fold_numbers()
        [0, 1, 2]
    """
    with working_folder(run, wanted) as folder:
        if address_of(run) and not Run(folder).exists:
            raise RunError(f"{run}: no run is there (it has no recipe.toml); check the address")
        yield Run.open(folder, address_of(run))
