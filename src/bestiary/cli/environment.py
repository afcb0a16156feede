"""The names of environment variables -> an error where one is a slip for one that bestiary reads.

A slip would be without effect, in silence: a token that asks for nothing, a cache elsewhere.
"""

import difflib
from collections.abc import Iterable

from bestiary.errors import ArgumentError

PREFIX = "BESTIARY_"
VARIABLES = ("CACHE", "DEVICE", "SHARD_CACHE_GB", "STATE", "TOKEN")  # after the prefix
MIN_LIKENESS = 0.7  # below, a variable is somebody's own, such as BESTIARY_RUN


def check_environment(names: Iterable[str]) -> None:
    """Refuse a variable that is named almost like one of bestiary's.

    Args:
        names: of all variables.

    Raises:
        ArgumentError: a name is such a slip.

    Example:
        >>> check_environment(["BESTIARY_TOKEN", "BESTIARY_RUN", "HOME"])
        >>> check_environment(["BESTIARY_TOKENS"])
        Traceback (most recent call last):
        bestiary.errors.ArgumentError: BESTIARY_TOKENS: is no variable of bestiary; did you mean ...
    """
    for name in names:
        if not name.upper().startswith(PREFIX) or name.removeprefix(PREFIX) in VARIABLES:
            continue
        own = name[len(PREFIX) :].upper()
        near = difflib.get_close_matches(own, VARIABLES, 1, MIN_LIKENESS)
        if near:
            raise ArgumentError(
                f"{name}: is no variable of bestiary; did you mean {PREFIX}{near[0]}? Rename it, "
                f"or unset it"
            )
