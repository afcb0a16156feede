"""Arguments of public functions: what is no argument of its type is refused in one line."""

import inspect
import pickle
from collections import deque
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.argument_types import checked_arguments
from bestiary.errors import ArgumentError

FRAME = pl.DataFrame({"path": ["a.jpg"]})


@checked_arguments
def verb(
    run: str | Path = "run",
    /,
    *images: str | Path | Sequence[str | Path],
    names: Annotated[Sequence[str], "many"] = (),
    numbers: Sequence[int] = (),
    share: float = 0.5,
    count: int | None = None,
    kind: Literal["all", "class"] = "all",
    views: Literal[1, 2, 5] | None = None,
    resume: bool = False,
    data: Any = None,
    later: "Path | None" = None,
    folds: int | str | None = None,
) -> dict[str, Any]:
    """Return what it was given."""
    return dict(locals())


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("names", "a", "is 'a'; give a list of texts"),
        ("names", b"a", "is b'a'; give a list of texts"),
        ("names", Path("a"), "give a list of texts"),
        ("names", {"a": 1}, "is the dict {'a': 1}; give a list of texts"),
        ("names", FRAME, "is a DataFrame; give a list of texts"),
        ("names", np.zeros((2, 2)), "is a ndarray; give a list of texts"),
        ("names", np.array("a"), "give a list of texts"),
        ("names", [1], r"is \[1\]; give a list of texts"),
        ("names", None, "is None; give a list of texts"),
        ("names", (n for n in [1, 2]), r"is \[1, 2\]; give a list of texts"),
        ("numbers", 1, "is 1; give a list of whole numbers"),
        ("numbers", [0.5], "give a list of whole numbers"),
        ("numbers", [True], "give a list of whole numbers"),
        ("share", "0.5", "is '0.5'; give a number"),
        ("share", True, "is True; give a number"),
        ("share", None, "is None; give a number"),
        ("share", np.bool_(True), "give a number"),
        ("count", 1.0, "is 1.0; give a whole number or None"),
        ("count", np.float32(2), "give a whole number or None"),
        ("kind", "most", "is 'most'; give 'all' or 'class'"),
        ("kind", ["all"], "give 'all' or 'class'"),
        ("views", 3, "is 3; give 1 or 2 or 5 or None"),
        ("views", True, "give 1 or 2 or 5 or None"),
        ("resume", "no", "is 'no'; give True or False"),
        ("resume", 1, "is 1; give True or False"),
        ("resume", None, "is None; give True or False"),
    ],
)
def test_what_is_refused(name: str, value: object, remedy: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^verb: {name} {remedy}|^verb: {name} .*{remedy}"):
        verb(**{name: value})


@pytest.mark.parametrize("run", [None, 5, b"run", ["run"], FRAME, np.int64(3)])
def test_what_is_no_place(run: object) -> None:
    with pytest.raises(ArgumentError, match=r"^verb: run is .*; give a text or a path$"):
        verb(run)
    with pytest.raises(ArgumentError, match=r"^verb: images is"):
        verb("run", "a.jpg", 5)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("", "verb: run is an empty text; name a file or a folder"),
        ("a\0b", r"verb: run is 'a\\x00b', which is no path \(.*null"),
        ("\ud800", r"verb: run is '\\ud800', which is no path"),
        ("x" * 5000, "cannot be used (File name too long); choose a shorter name"),
    ],
)
def test_a_text_that_is_no_path(run: str, reason: str) -> None:
    """An empty one would be the working folder, which is then written into."""
    with pytest.raises(ArgumentError, match=reason.replace(" (File name too long)", ".*")):
        verb(run)
    assert verb(f"s3://bucket/{run}")["run"] == f"s3://bucket/{run}"


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b"],
        ("a", "b"),
        deque("ab"),
        {"a": 1, "b": 2}.keys(),
        np.array(["a", "b"]),
        pl.Series(["a", "b"]),
        iter(["a", "b"]),
        (letter for letter in "ab"),
    ],
)
def test_every_collection_is_a_list(names: Any) -> None:
    """An iterator would be empty when it is read again, and an array has no truth."""
    given = verb(names=names)["names"]
    assert list(given) == ["a", "b"]
    assert isinstance(given, list | tuple)


def test_what_is_taken() -> None:
    given = verb(
        PurePosixPath("run"),
        "a.jpg",
        (Path(name) for name in "bc"),
        numbers=np.arange(2),
        share=np.float32(0.5),
        count=np.int64(3),
        views=np.int64(2),
        resume=np.bool_(True),
        data=object(),
        later="anything",
    )
    assert given["images"] == ("a.jpg", [Path("b"), Path("c")])
    assert given["numbers"] == [0, 1]
    assert verb(count=None, share=1)["share"] == 1


def test_path_where_a_text_may_name_a_file() -> None:
    assert verb(folds=Path("a") / "folds.csv")["folds"] == str(Path("a/folds.csv"))


def test_a_wrong_name_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        verb(nmaes=["a"])


@pytest.mark.parametrize("name", [*bestiary.__all__])
def test_public_functions_check_theirs(name: str) -> None:
    """Each parameter of each function refuses an object of no type at all, before any work."""
    function = getattr(bestiary, name)
    if isinstance(function, type):
        return
    assert pickle.loads(pickle.dumps(function)) is function
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    filled = {
        one.name: ["missing"] if one.name == "vary" else "missing"
        for one in parameters
        if one.default is one.empty and one.kind is not one.VAR_POSITIONAL
    }
    for parameter in parameters:
        assert not isinstance(parameter.annotation, str), "a text is not checked"
        if "Any" in str(parameter.annotation):
            continue
        wrong = (object(),) if parameter.kind is parameter.VAR_POSITIONAL else object()
        bound = signature.bind_partial()
        names = [one.name for one in parameters if one.name in {**filled, parameter.name: wrong}]
        values = {**filled, parameter.name: wrong}
        bound.arguments = {key: values[key] for key in names}
        with pytest.raises(ArgumentError, match=f"{name}: {parameter.name} is "):
            function(*bound.args, **bound.kwargs)


def test_an_object_is_told_by_its_type() -> None:
    """An ensemble for its run, as a notebook has both; where it lies in memory helps nobody."""

    class Ensemble:
        pass

    with pytest.raises(ArgumentError, match=r"^verb: run is an Ensemble; give a text or a path$"):
        verb(Ensemble())  # type: ignore[arg-type]
