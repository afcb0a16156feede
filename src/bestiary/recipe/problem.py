"""A recipe's validation error -> one line that names the key, its value and the remedy."""

import difflib
from collections.abc import Sequence

from pydantic import ValidationError

from bestiary.renamed import RECIPE_KEYS, RECIPE_VALUES


def describe_problem(error: ValidationError, keys: Sequence[str], sections: Sequence[str]) -> str:
    """Describe the first of pydantic's errors in one line.

    Args:
        error: from validating section -> key -> value.
        keys: all known keys, as ``section.key``.
        sections: all known sections.
    """
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    name = ".".join(location[:2])
    message = str(problem["msg"])
    if problem["type"] == "extra_forbidden":
        return _describe_unknown(location, keys, sections)
    if problem["type"] == "value_error":
        return message.removeprefix("Value error, ")
    value = problem["input"]
    new_value = RECIPE_VALUES.get((name, value)) if isinstance(value, str) else None
    if new_value:
        return f"{name} = {value!r} is called {new_value!r} now"
    return f"{name} = {_format_value(value)}: {message[0].lower()}{message[1:]}"


def _describe_unknown(location: list[str], keys: Sequence[str], sections: Sequence[str]) -> str:
    """Say the new name of an old key, or the known key that is nearest to an unknown one."""
    name = ".".join(location[:2])
    new_name = RECIPE_KEYS.get(name)
    if new_name:
        return f"{name} is called {new_name} now"
    has_key = len(location) > 1
    near = difflib.get_close_matches(name, keys if has_key else sections, 1, 0.4)
    if not near and has_key:  # perhaps a known key in the wrong section
        near = [known for known in keys if known.partition(".")[2] == location[1]]
    remedy = f"did you mean {near[0]}?" if near else "bestiary options lists all"
    return f"{name} is not an option; {remedy}"


def _format_value(value: object) -> str:
    try:
        return f"{value!r:.120}"
    except (ValueError, RecursionError):  # an integer of thousands of digits, very deep lists
        return f"(a very large {type(value).__name__})"
