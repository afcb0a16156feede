"""Files to draw -> none of them, where drawing does not come to its end.

A full disk or Ctrl-C would else leave a part of the images, and the same command would then refuse
a folder that is not empty.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bestiary.atomic import remove_leftovers


@contextmanager
def removed_if_unfinished(directory: Path, files: Collection[Path]) -> Iterator[None]:
    """Make the folders of some files; remove what was drawn if the block fails or is interrupted.

    Args:
        directory: folder of the dataset, empty so far.
        files: that the block writes, in and below it, or next to it. Others stay.

    Yields:
        When the folders are there.
    """
    folders = {file.parent for file in files} | {directory}
    folders |= {outer for inner in folders for outer in inner.parents if directory in outer.parents}
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in sorted(folders):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for file in files:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        for folder in sorted(made, reverse=True):  # inner ones first
            with suppress(OSError):
                remove_leftovers(folder)
                folder.rmdir()
        raise
