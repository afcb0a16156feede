"""The runs that this user has begun or resumed on this machine, and where their images are.

A run records the folder of its images, and it may come from a stranger, so what it records is never
opened. The user's own folder of state has a small file for each run whose images the user has named
here. It is found by the digest of manifest.parquet, so a run may be moved, copied or mirrored in an
object store. Knows nothing of what is done with the images.
"""

import os
from pathlib import Path

import platformdirs

from bestiary.atomic import write_text
from bestiary.errors import BestiaryError
from bestiary.regular_files import read_regular

VARIABLE = "BESTIARY_STATE"
MAX_PLACE_BYTES = 1 << 16


def state_root() -> Path:
    """Return the folder named by `BESTIARY_STATE`, or else the user's folder of state."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_state_dir("bestiary"))


def remember_images(manifest_digest: str, place: str) -> bool:
    """Record where the images of a run are, since the user has said so.

    Args:
        manifest_digest: SHA-256 of the run's manifest.parquet, hexadecimal.
        place: absolute folder or address that the paths start from.

    Returns:
        Whether it could be written. Without it, a verb needs --data to show images.
    """
    if recall_images(manifest_digest) == place:
        return True
    try:
        write_text(_file_of(manifest_digest), place)
    except (BestiaryError, OSError, UnicodeError):
        return False
    return True


def recall_images(manifest_digest: str) -> str | None:
    """Read where the images of a run are.

    Args:
        manifest_digest: SHA-256 of the run's manifest.parquet, hexadecimal.

    Returns:
        The folder or address; None where this user has not named it on this machine.
    """
    try:
        return read_regular(_file_of(manifest_digest), MAX_PLACE_BYTES).decode() or None
    except (OSError, UnicodeError):
        return None


def _file_of(manifest_digest: str) -> Path:
    return state_root() / "runs" / manifest_digest
