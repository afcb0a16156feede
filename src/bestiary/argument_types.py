"""A function with annotated parameters -> one that refuses arguments of other types, in one line.

In Python, a text where a list is wanted is a list of its letters, "no" is true, and an iterator is
empty when it is read again. Knows nothing of what the arguments mean.
"""

import errno
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from bestiary.errors import ArgumentError
from bestiary.places import describe_place

MAX_SHOWN = 60  # characters of a wrong value
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def checked_arguments(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Check the types of a function's arguments before it is called.

    NumPy's numbers count as numbers, any path-like object as a path, and every collection but a
    text, a mapping or a frame as a sequence, which is given on as a list.

    Args:
        function: whose annotations are types; texts among them are not checked.

    Returns:
        The function; it raises an `ArgumentError` that says what to give.

    Example:
        >>> @checked_arguments
        ... def train(overrides: Sequence[str] = ()) -> int:
        ...     return len(overrides)
        >>> train(f"train.epochs={n}" for n in range(3))
        3
        >>> train("train.epochs=3")
        Traceback (most recent call last):
        bestiary.errors.ArgumentError: train: overrides is 'train.epochs=3'; give a list of texts
    """
    signature = inspect.signature(function)
    name = function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")

    @wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        bound = signature.bind(*args, **kwargs)
        for key, value in bound.arguments.items():
            parameter = signature.parameters[key]
            hint = parameter.annotation
            if parameter.kind is parameter.VAR_POSITIONAL:
                bound.arguments[key] = tuple(_checked(name, key, one, hint) for one in value)
            elif parameter.kind is not parameter.VAR_KEYWORD:
                bound.arguments[key] = _checked(name, key, value, hint)
        return function(*bound.args, **bound.kwargs)

    return checked


def _checked(function: str, name: str, value: object, hint: object) -> object:
    """Return a value, a collection as a list; refuse one of another type than a hint says."""
    if _is_collection(value) and any(is_sequence(one) for one in choices(hint)):
        value = value if isinstance(value, list | tuple) else list(value)
    if isinstance(value, os.PathLike) and _is_wanted_as_text(value, hint):
        value = os.fspath(value)
    if not any(_matches(value, one) for one in choices(hint)):
        wanted = " or ".join(dict.fromkeys(_described(one) for one in choices(hint)))
        raise ArgumentError(f"{function}: {name} is {_shown(value)}; give {wanted}")
    if isinstance(value, str | os.PathLike) and Path in choices(hint):
        _check_place(f"{function}: {name}", os.fspath(value))
    return value


def _is_wanted_as_text(value: os.PathLike[Any], hint: object) -> bool:
    """Tell whether a text stands for a path-like object.

    It does where a text may name a file, such as that of folds, and for objects that are more than
    a path, such as a run.
    """
    wanted = choices(hint)
    is_path = isinstance(value, Path) and Path in wanted
    is_wanted = is_path or any(_matches(value, one) for one in wanted if one not in _PATHS)
    return str in wanted and not is_wanted


def _check_place(argument: str, place: str) -> None:
    """Refuse a text that can name no file or folder: empty, it would be the working folder."""
    if not place:
        raise ArgumentError(f"{argument} is an empty text; name a file or a folder")
    try:
        if "://" not in place:
            os.lstat(place)
    except ValueError as error:  # a null character, or half of a surrogate pair
        raise ArgumentError(f"{argument} is {_shown(place)}, which is no path ({error})") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ArgumentError(str(describe_place(error))) from None


def choices(hint: object) -> Sequence[object]:
    """List what a hint allows, one of which a value has to match.

    Args:
        hint: a type, a union, or one of these with annotations.

    Example:
        >>> choices(Annotated[int | None, "many"])
        [<class 'int'>, <class 'NoneType'>]
    """
    origin = get_origin(hint)
    if origin is Annotated:
        return choices(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return [choice for one in get_args(hint) for choice in choices(one)]
    return [hint]


def _matches(value: object, hint: object) -> bool:
    """Tell whether a value is of one type."""
    if hint in _KINDS:
        return _KINDS[hint][0](value)
    if get_origin(hint) is Literal:
        return not isinstance(value, bool) and _is_among(value, get_args(hint))
    if is_sequence(hint):
        if not _is_collection(value):
            return False
        wanted = choices((get_args(hint) or (Any,))[0])
        return all(any(_matches(one, choice) for choice in wanted) for one in value)
    return not isinstance(hint, type) or hint is inspect.Parameter.empty or isinstance(value, hint)


def _described(hint: object) -> str:
    """Say in words what a type is."""
    if hint in _KINDS:
        return _KINDS[hint][1]
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if is_sequence(hint):
        wanted = choices((get_args(hint) or (Any,))[0])
        return "a list of " + " or ".join(dict.fromkeys(_many(one) for one in wanted))
    return f"a {getattr(hint, '__name__', hint)}"


def _many(hint: object) -> str:
    return _KINDS[hint][2] if hint in _KINDS else _described(hint)


def _shown(value: object) -> str:
    """Show a value, or its type where it is long."""
    text = repr(value)
    if len(text) > MAX_SHOWN or "\n" in text or text.startswith("<"):
        return f"{'an' if type(value).__name__[0] in 'AEIOU' else 'a'} {type(value).__name__}"
    return (
        text
        if isinstance(value, str | bytes | int | float | list) or value is None
        else (f"the {type(value).__name__} {text}")
    )


def _is_collection(value: object) -> TypeGuard[Iterable[object]]:
    """Tell whether a value has values in a row: no text, mapping, frame, or array of more axes."""
    is_iterable = isinstance(value, Iterable) and not isinstance(value, _NO_COLLECTIONS)
    return is_iterable and not hasattr(value, "columns") and getattr(value, "ndim", 1) == 1


def is_sequence(hint: object) -> bool:
    """Tell whether a type is that of values in a row; a text is one value."""
    origin = get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, Sequence) and origin is not str


def _is_among(value: object, choices: Sequence[object]) -> bool:
    is_plain = isinstance(value, str | Integral)
    return is_plain and any(value == choice for choice in choices)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


_PATHS = (Path, os.PathLike[str])
_NO_COLLECTIONS = (str, bytes, bytearray, os.PathLike, Mapping)
_KINDS: dict[object, tuple[Callable[[Any], bool], str, str]] = {
    Any: (lambda _: True, "anything", "things"),
    type(None): (lambda value: value is None, "None", "None"),
    None: (lambda value: value is None, "None", "None"),
    str: (lambda value: isinstance(value, str), "a text", "texts"),
    **dict.fromkeys(_PATHS, (lambda value: isinstance(value, os.PathLike), "a path", "paths")),
    bool: (_is_flag, "True or False", "True or False"),
    int: (
        lambda value: isinstance(value, Integral) and not _is_flag(value),
        "a whole number",
        "whole numbers",
    ),
    float: (
        lambda value: isinstance(value, Real) and not _is_flag(value),
        "a number",
        "numbers",
    ),
}
"""Type -> whether a value is of it, and what one and many of them are called."""
