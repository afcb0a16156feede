"""For mkdocstrings: the section ``Example:`` of a docstring -> ``Examples:``, which Griffe knows.

One example stands under ``Example:`` in this code. Griffe would show it as a note, with the prompts
as quotations.
"""

import re
from typing import Any

import griffe


class OneExample(griffe.Extension):
    """Rename the section in every docstring that is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object, if it has one."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(
                r"^(\s*)Example:$", r"\1Examples:", text, flags=re.MULTILINE
            )
