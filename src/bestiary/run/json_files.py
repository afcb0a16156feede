"""Read the JSON files of a run, which may come from a stranger: bounded, finite, an object."""

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bestiary.errors import DamagedError, one_line
from bestiary.regular_files import MAX_TEXT_BYTES, read_regular

MAX_DIGITS = 40  # of a number; bestiary writes 17
MAX_KEY_LENGTH = 60  # characters of a wrong key that an error quotes


class JsonSection(BaseModel):
    """Required keys and their types. Further keys are allowed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


def first_problem(error: ValidationError) -> str:
    """Put the first wrong key of a JSON file into words, without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(str(step) for step in first["loc"])
    return f"{key[:MAX_KEY_LENGTH]}: {first['msg']}"


def read_json_file(file: Path) -> dict[str, Any]:
    """Read a JSON file whose content is an object.

    Args:
        file: to read.

    Returns:
        The object. Each number in it is finite.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: it is not what bestiary writes.
    """
    try:
        text = read_regular(file, MAX_TEXT_BYTES).decode("utf-8")
        content = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(f"{file}: cannot be read ({one_line(error)})") from None
    if not isinstance(content, dict):
        raise DamagedError.foreign(file)
    return content


def _refuse_constant(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text[:MAX_DIGITS]}, which is too large")
    return value


def _short(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(text):,} digits")
    return int(text)
