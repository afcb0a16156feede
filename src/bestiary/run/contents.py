"""A run's folder -> whether a run has begun there, and may be read and written.

It may where no link leaves it, and nothing in it is special.

A run may come from a stranger. Through a link in it, bestiary would read a file of the user's into
a report, or write over one; a FIFO or a device would block it, or never end. So every entry is
looked at before the first file is opened. Opens no file.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from bestiary.errors import DamagedError, RunError
from bestiary.printable import printable_name, shell_name
from bestiary.regular_files import special_kind
from bestiary.run.layout import BUDGET, RECIPE, TRIALS

MAX_ENTRIES = 200_000
"""Most files and folders in a run. A tracker writes some; bestiary itself about ten a fold."""
MAX_DEPTH = 20  # of folders inside each other


def check_begun(folder: Path) -> None:
    """Check that a run has begun in a folder: its recipe is the last of the starting files.

    Args:
        folder: that the user has named.

    Raises:
        RunError: there is no folder, or no run in it, or none yet.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: no such run; check the path, or make one with bestiary train DATA "
            f"{shell_name(folder)}"
        )
    if (folder / RECIPE).is_file():
        return
    if (folder / BUDGET).is_file():
        raise RunError(
            f"{folder}: is not a run yet: its time budget is being spent, or was interrupted; "
            f"{TRIALS}/ has what was tried, and the same bestiary train command goes on"
        )
    raise RunError(
        f"{folder}: is not a run (it has no {RECIPE}); make one with bestiary train DATA RUN"
    )


def check_contents(folder: Path) -> None:
    """Check every file and folder of a run.

    Args:
        folder: of the run, which may itself be a link.

    Raises:
        DamagedError: a link leads out of the run or nowhere, an entry is a FIFO, a socket or a
            device, or there are too many.
    """
    root = folder.resolve()
    try:
        for count, entry in enumerate(_entries(folder, 0)):
            if count == MAX_ENTRIES:
                raise DamagedError.foreign(folder, f"it has more than {MAX_ENTRIES:,} files")
            _check_entry(entry, root)
    except FileNotFoundError:
        return  # another process has replaced a file meanwhile
    except OSError as error:
        raise DamagedError(
            f"{folder}: cannot be read ({error.strerror}); copy the run again"
        ) from None


def _entries(folder: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Yield everything in and below a folder. Links are not followed."""
    if depth > MAX_DEPTH:
        raise DamagedError.foreign(folder, "its folders are nested too deeply")
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path), depth + 1)


def _check_entry(entry: os.DirEntry[str], root: Path) -> None:
    path = Path(entry.path)
    if entry.is_symlink():
        _check_link(path, root)
        return
    try:
        kind = special_kind(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return  # a temporary file of another process
    if kind:
        raise DamagedError.foreign(printable_name(path), f"it is {kind}", "remove it")


def _check_link(path: Path, root: Path) -> None:
    """Refuse a link whose target is outside the run, is missing or is special."""
    try:
        target = path.resolve(strict=True)
        kind = special_kind(target.stat().st_mode)
    except (OSError, RuntimeError):  # the latter: a loop of links
        raise DamagedError(
            f"{printable_name(path)}: is a link that leads nowhere; remove it"
        ) from None
    if not target.is_relative_to(root) or kind:
        raise DamagedError(
            f"{printable_name(path)}: is a link that leaves the run, which is never followed; put "
            f"the file or folder itself in its place"
        )
