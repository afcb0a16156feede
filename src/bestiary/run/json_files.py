"""Read the JSON files of a run, which may come from a stranger: bounded, finite, an object."""

import json
import math
from pathlib import Path
from typing import Any

from bestiary.errors import DamagedError, one_line
from bestiary.regular_files import MAX_TEXT_BYTES, read_regular

MAX_DIGITS = 40  # of a number; bestiary writes 17


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
