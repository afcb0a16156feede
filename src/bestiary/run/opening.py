"""A run's path or address -> the open run; of one in an object store, a working copy.

Knows nothing of what is done with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.errors import ArgumentError, RunError, one_line
from bestiary.run.layout import is_shared, needed_for_prediction
from bestiary.run.run import Run
from bestiary.storage.files import address_of, location
from bestiary.storage.hub import is_hub
from bestiary.storage.mirror import working_folder
from bestiary.storage.roots import open_root


@contextmanager
def opened_run(
    run: str | Path,
    wanted: Callable[[str], bool] = needed_for_prediction,
    data: str | Path | None = None,
) -> Iterator[Run]:
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
        DataError: the store of `data` does not answer.

    Example:
        >>> with opened_run("run") as run:
        ...     run.fold_numbers()
        [0, 1, 2]
    """
    place = _checked_place(data) if data is not None else ""
    # A repository on the hub may hold anything besides the run.
    is_needed = (lambda path: is_shared(path) and wanted(path)) if is_hub(run) else wanted
    with working_folder(run, is_needed) as folder:
        if address_of(run) and not Run(folder).exists:
            raise RunError(f"{run}: no run is there (it has no recipe.toml); check the address")
        yield Run.open(folder, address_of(run), place)


def _checked_place(data: str | Path) -> str:
    """Return the absolute folder or address that --data names."""
    place = location(data)
    try:
        is_folder = open_root(place).is_dir()
    except OSError as error:  # of this machine: no access, or a name that is too long
        raise ArgumentError(f"--data {data}: cannot be read ({one_line(error)})") from None
    if not is_folder:
        raise ArgumentError(
            f"--data {data}: no such folder; give the one that the paths of the run's images "
            f"start from"
        )
    return place
