"""How verbs take arguments that several of them share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

if TYPE_CHECKING:
    from bestiary.run.run import Run

Place = str | Path
Many = Parameter(consume_multiple=True)


@contextmanager
def open_run(run: Place, wanted: Callable[[str], bool] | None = None) -> "Iterator[Run]":
    """The run at a path or an address, with those of its files that are `wanted`: all that using it
    needs.

    Raises:
        RunError: there is none, or the store cannot be reached.
    """
    from bestiary.errors import RunError
    from bestiary.run.layout import needed_to_use
    from bestiary.run.run import Run
    from bestiary.storage.files import address_of
    from bestiary.storage.mirror import working_folder

    with working_folder(run, wanted or needed_to_use) as folder:
        if address_of(run) and not Run(folder).exists:
            raise RunError(f"{run}: no run is there (it has no recipe.toml); check the address")
        yield Run.open(folder, address_of(run))
