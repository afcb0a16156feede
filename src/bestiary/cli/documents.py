"""What a verb returns, or an error -> the JSON document that ``--json`` prints.

A result says what a program should know by its method `document`. Without one, its fields are
taken. Knows no verb and no result.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

from bestiary.version import VERSION


def result_document(verb: str, result: object) -> str:
    """Write the document of a verb's result.

    Args:
        verb: its name.
        result: what its function has returned.

    Returns:
        One JSON object, indented. All characters are ASCII, so that no stream can change them.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Result:
        ...     share: float
        >>> json.loads(result_document("scan", Result(float("nan"))))["share"] is None
        True
    """
    content = plain(result)
    if not isinstance(content, dict):
        raise TypeError(f"{verb}: {type(result).__name__} has no fields for a document")
    return _text(verb, content)


def error_document(verb: str, kind: str, message: str, exit_code: int) -> str:
    """Write the document of an error.

    Args:
        verb: that was asked for; empty: none.
        kind: of the error, such as ``DataError``.
        message: the line that people see.
        exit_code: of the command.

    Example:
        >>> text = error_document("show", "RunError", "run: no such run; check the path", 2)
        >>> json.loads(text)["error"]["kind"]
        'RunError'
    """
    return _text(verb, {"error": {"kind": kind, "message": message, "exit_code": exit_code}})


def plain(value: Any) -> Any:
    """Turn a value into what JSON has.

    Frames become lists of rows, arrays lists, paths text, numbers that are not finite None.

    Args:
        value: of a result.

    Raises:
        TypeError: there is no rule for such a value.

    Example:
        >>> from pathlib import Path
        >>> plain({"file": Path("a.csv"), "shares": (0.5, float("inf"))})
        {'file': 'a.csv', 'shares': [0.5, None]}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    return _plain_object(value)


def _number(value: float) -> float | None:
    # numpy's float64 is a float too; JSON takes Python's own types alone.
    if isinstance(value, int):
        return int(value)
    return float(value) if math.isfinite(value) else None


def _plain_object(value: Any) -> Any:
    """Turn an object into what JSON has; libraries are known by their methods, not imported."""
    for method in ("document", "to_dicts", "tolist", "isoformat"):
        if hasattr(value, method):
            return plain(getattr(value, method)())
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__}: has no place in a JSON document")


def _text(verb: str, content: dict[str, Any]) -> str:
    # The keys of the frame stand first, and no key of a result can take their place.
    frame = {"verb": verb or None, "version": VERSION}
    return json.dumps(frame | content | frame, indent=2, allow_nan=False)
