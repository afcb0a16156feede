"""For mkdocstrings: docstrings and signatures as a reader of the Python pages needs them.

- The section ``Example:`` of a docstring becomes ``Examples:``, which Griffe knows. One example
  stands under ``Example:`` in this code. Griffe would show it as a note, with the prompts as
  quotations.
- A paragraph that is a command becomes code, as in the reference of the command line.
- ``Annotated[X, ...]`` becomes ``X``: the rest is for the command line alone.
"""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)
COMMAND = re.compile(r"(?<=\n\n)(bestiary [a-z]+ [A-Za-z].*?)(?=\n\n|\Z)", re.DOTALL)


class ReadableDocs(griffe.Extension):
    """Change every docstring, and the annotations of every function."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object, if it has one."""
        if obj.docstring is not None:
            text = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
            obj.docstring.value = COMMAND.sub(_as_code, text)

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Change the annotations of a function's parameters."""
        for parameter in func.parameters:
            parameter.annotation = _without_metadata(parameter.annotation)


def _as_code(command: re.Match[str]) -> str:
    """Write a command as a block of code that a shell takes."""
    lines = command[1].replace("\n", " \\\n    ")
    return f"```sh\n{lines}\n```"


def _without_metadata(annotation: Any) -> Any:
    """Take the type out of ``Annotated[type, ...]``."""
    is_subscript = isinstance(annotation, griffe.ExprSubscript)
    if not is_subscript or annotation.canonical_name != "Annotated":
        return annotation
    inside = annotation.slice
    return inside.elements[0] if isinstance(inside, griffe.ExprTuple) else inside
