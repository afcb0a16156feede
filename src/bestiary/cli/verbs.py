"""The verbs in the groups of the help, and their functions. Knows nothing of parsing."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

GROUPS = {
    "Try": ("demo", "sample"),
    "Look at images": ("scan", "advise", "shard"),
    "Train": ("probe", "train", "ablate", "join", "distill"),
    "Judge": ("show", "report", "labels", "curve", "next", "evaluate", "compare"),
    "Use": ("predict", "drift", "count", "serve", "export", "push"),
    "Help": ("options", "schema", "cache"),
}
"""The commands in the order of the help. Each is the function of its name in ``bestiary.api``."""
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)


def verb_function(verb: str) -> Callable[..., Any]:
    """Import the function of a verb.

    Example:
        >>> verb_function("show").__name__
        'show'
    """
    function: Callable[..., Any] = getattr(import_module(f"bestiary.api.{verb}"), verb)
    return function


def usage(verb: str) -> str:
    """Show a verb with the arguments that have no name, as a command to type.

    Example:
        >>> usage("train"), usage("options")
        ('bestiary train DATA RUN', 'bestiary options [WORD]')
    """
    words = ["bestiary", verb]
    for parameter in inspect.signature(verb_function(verb)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            continue
        name = parameter.name.upper()
        if parameter.kind is parameter.VAR_POSITIONAL:
            words.append(f"{name}...")
        elif parameter.default is parameter.empty:
            words.append(name)
        else:
            words.append(f"[{name}]")
    return " ".join(words)
