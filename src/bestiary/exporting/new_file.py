"""A new exported file, in a temporary folder -> in its place, once it is complete and good.

A "file" may be two, as OpenVINO's are, or a package, as Core ML's is: a folder that is opened as
one. Knows nothing of formats but the names of their parts.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.atomic import atomic_path, write_errors
from bestiary.errors import ArgumentError

PACKAGE = ".mlpackage"
# Of a package: without this table, its other files do not count.
PACKAGE_TABLE = "Manifest.json"


def parts_of(file: Path) -> list[Path]:
    """List the files that an exported file is made of.

    Args:
        file: the file to open.

    Returns:
        The file that the others do not count without, then the others: for OpenVINO the weights, of
        a package what is in it.

    Example:
        >>> [part.name for part in parts_of(Path("model.xml"))]
        ['model.xml', 'model.bin']
    """
    if file.suffix.lower() == ".xml":
        return [file, file.with_suffix(".bin")]
    if file.suffix.lower() == PACKAGE:
        table = file / PACKAGE_TABLE
        inside = sorted(path for path in file.rglob("*") if path.is_file() and path != table)
        return [table, *inside]
    return [file]


def remove_parts(file: Path) -> None:
    """Remove an exported file, if it is there.

    Args:
        file: the file to open.
    """
    if file.is_dir():
        shutil.rmtree(file)
        return
    for part in parts_of(file):
        part.unlink(missing_ok=True)


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Give a temporary file of the name of `out`; if the block ends well, move it to `out`.

    The file lies in a temporary folder, not under a temporary name as in `atomic_path`: the
    libraries tell formats by the suffix, and OpenVINO writes a second file.

    Args:
        out: the file to open.

    Yields:
        Where to write it.

    Raises:
        ArgumentError: the file was made meanwhile.
        BestiaryError: the folder cannot be written.
    """
    with write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".tmp"
        ) as folder:
            file = Path(folder) / out.name
            yield file
            # The file to open comes last: without it, the others do not count.
            for part in reversed(parts_of(file)):
                _publish(part, out.parent / part.relative_to(folder))


def _publish(part: Path, goal: Path) -> None:
    """Move a complete file to its goal, durably."""
    if goal.exists():
        raise ArgumentError(
            f"{goal}: was made meanwhile, and nothing is overwritten; choose another name"
        )
    with atomic_path(goal) as temporary:
        os.replace(part, temporary)
