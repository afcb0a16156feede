"""The files that a run is finished with, by their checksums in ensemble.json.

Those of another run with as many classes fit in all shapes, and would be believed: scores of other
images, limits of other members. Only their checksums tell. A run of an earlier version names none.
"""

from pathlib import Path

from bestiary.errors import DamagedError, one_line
from bestiary.run.checksums import file_digest
from bestiary.run.json_files import read_json_file
from bestiary.run.layout import ENSEMBLE, FIELD, JOINED_FORMAT, METRICS, OOD, UNKNOWN

FINISHED = (UNKNOWN, OOD, FIELD, METRICS)
FILES_KEY = "files"  # of ensemble.json: file name -> SHA-256


def finished_digests(folder: Path) -> dict[str, str]:
    """Compute the checksums of the files that a run is finished with.

    Args:
        folder: of the run.

    Returns:
        File name -> SHA-256, for those that are there.
    """
    there = [name for name in FINISHED if (folder / name).exists()]
    return {name: file_digest(folder / name) for name in there}


def finished_file(folder: Path, name: str) -> Path:
    """Return the path of a file that the run was finished with; it need not exist.

    Args:
        folder: of the run.
        name: of the file, one of `FINISHED`.

    Returns:
        The path.

    Raises:
        DamagedError: it has changed, has been added or is gone, or ensemble.json is damaged.
    """
    file = folder / name
    try:
        card = read_json_file(folder / ENSEMBLE)
    except FileNotFoundError:
        return file  # nothing is finished yet
    written = card.get(FILES_KEY)
    if written is None:
        return file  # of an earlier version, or not all folds have ended
    if not isinstance(written, dict):
        raise DamagedError.foreign(folder / ENSEMBLE, FILES_KEY)
    found = _digest(file)
    if found == written.get(name) or (found is None and name == METRICS):  # readers say that
        return file
    is_joined = card.get("format") == JOINED_FORMAT
    again = "join the runs again" if is_joined else "write it again with --resume"
    problem = "is missing" if found is None else f"is not the one that {ENSEMBLE} was written with"
    remedy = "put it back" if name in written else "remove it"
    raise DamagedError(f"{file}: {problem}; {remedy}, or {again}")


def _digest(file: Path) -> str | None:
    """Compute the checksum of a file; None: there is none."""
    try:
        return file_digest(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{file}: cannot be read ({one_line(error)})") from None
