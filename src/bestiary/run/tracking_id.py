"""tracking.json of a run: the identifier by which trackers know it again when it is resumed.

Without the file, as in a run that began before it was tracked, the identifier is made of the run's
place and images. A run may come from a stranger, so the file is checked.
"""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from bestiary.atomic import write_text
from bestiary.errors import DamagedError
from bestiary.run.checksums import file_digest, verify
from bestiary.run.json_files import JsonSection, first_problem, read_json_file
from bestiary.run.layout import MANIFEST, TRACKING

LENGTH = 16  # hexadecimal digits


class _Identity(JsonSection):
    id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{LENGTH}}}$")]


def write_tracking_id(folder: Path) -> None:
    """Give a run that begins an identifier, unless it has one.

    It is new even if a run of the same name and images was tracked before. No number that is
    computed depends on it.

    Args:
        folder: of the run.
    """
    file = folder / TRACKING
    if not file.exists():
        write_text(file, json.dumps({"id": uuid.uuid4().hex[:LENGTH]}) + "\n")


def read_tracking_id(folder: Path) -> str:
    """Read the identifier of a run.

    Args:
        folder: of the run.

    Raises:
        DamagedError: tracking.json is not what bestiary writes.
        OSError: the manifest cannot be read.
    """
    file = folder / TRACKING
    verify(folder, TRACKING)
    try:
        return _Identity.model_validate(read_json_file(file)).id
    except FileNotFoundError:
        place = f"{folder.resolve()} {file_digest(folder / MANIFEST)}"
        return hashlib.sha256(place.encode()).hexdigest()[:LENGTH]
    except ValidationError as error:
        raise DamagedError.foreign(file, first_problem(error)) from None
