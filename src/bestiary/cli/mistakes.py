"""A command that cannot be understood -> one line that says what to type instead."""

import difflib
import os
import re
import shlex
from collections.abc import Sequence
from inspect import signature
from pathlib import Path

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from bestiary.cli.verbs import VERBS, usage, verb_function
from bestiary.errors import ArgumentError
from bestiary.recipe.foreign_names import foreign_key
from bestiary.renamed import OPTIONS
from bestiary.run.layout import RECIPE

OTHER_VERBS = {
    "api": "serve",
    "audit": "scan",
    "benchmark": "advise",
    "check": "scan",
    "classify": "predict",
    "clean": "labels",
    "convert": "export",
    "deploy": "serve",
    "eval": "evaluate",
    "fit": "train",
    "gradcam": "report",
    "heatmap": "report",
    "html": "report",
    "infer": "predict",
    "inference": "predict",
    "info": "show",
    "inspect": "show",
    "list": "show",
    "ls": "show",
    "onnx": "export",
    "plot": "report",
    "relabel": "labels",
    "score": "evaluate",
    "status": "show",
    "summary": "show",
    "test": "evaluate",
    "tune": "ablate",
    "val": "evaluate",
    "validate": "evaluate",
    "visualize": "report",
}
"""Words of other tools -> the verb that does it."""
COMMANDS = {
    "help": "bestiary --help",
    "resume": "bestiary train DATA RUN --resume",
    "split": "bestiary train DATA RUN, which assigns the folds",
    "version": "bestiary --version",
}
"""Words that are typed as a verb -> the command that does it."""
OWN_OPTIONS = {
    "folds.n": "--folds",
    "predict.tta": "--tta",
    "train.batch_size": "--batch",
    "train.epochs": "--epochs",
    "train.seed": "--seed",
}
"""Keys of a recipe that some verbs have an option for."""
OTHER_OPTIONS = {
    "bind": "--host",
    "checkpoint": "--resume",
    "conf": "--risk",
    "confidence": "--risk",
    "config": "--recipe",
    "csv": "--out",
    "cv": "--folds",
    "fold": "--only-fold",
    "gpus": "--processes",
    "k": "--folds",
    "kfold": "--folds",
    "n-folds": "--folds",
    "n-gpus": "--processes",
    "nproc-per-node": "--processes",
    "num-folds": "--folds",
    "o": "--out",
    "p": "--port",
    "output": "--out",
    "output-dir": "--out",
    "output-file": "--out",
    "preset": "--recipe",
    "save": "--out",
    "save-dir": "--out",
    "silent": "--quiet",
    "splits": "--folds",
    "threshold": "--risk",
    "time": "--budget",
    "time-limit": "--budget",
    "token": "--token-file",
    "views": "--tta",
}
"""Words of other tools, without dashes -> the option that comes nearest."""
ADVICE = {
    "curve set": "give it to bestiary probe DATA RUN first; a run knows how its images are listed",
    "dropout": "leave it out; no recipe uses it (see optimizer.weight_decay and mix.mixup)",
    "export fp16": "write --float16",
    "export half": "write --float16",
    "gpu": "write --device cuda",
    "multiprocessing": "leave it out; all cores are used",
    "n-classes": "leave it out; each folder is a class",
    "num-classes": "leave it out; each folder is a class",
    "num-workers": "leave it out; all cores are used (train.threads sets PyTorch's)",
    "optimizer": "leave it out; it is AdamW (optimizer.lr and optimizer.weight_decay are its own)",
    "patience": "leave it out; the best epoch is kept where the recipe says so (train.keep_best)",
    "probe resume": "leave it out and name another folder; features are cached, so it is fast",
    "report pdf": "write --format pdf",
    "test-size": "leave it out; every image is tested by the fold that did not train on it",
    "top-k": "leave it out; each answer has the set of classes that it may be",
    "topk": "leave it out; each answer has the set of classes that it may be",
    "val-split": "leave it out; every image is tested by the fold that did not train on it",
    "workers": "leave it out; all cores are used (train.threads sets PyTorch's)",
    "yes": "leave it out; bestiary asks nothing",
}
"""Words of other tools, without dashes, some after a verb -> what to do instead."""
OVERWRITE = {"exist-ok", "force", "overwrite"}
"""Words of other tools for writing over what is there."""
PLACES = {"data", "dataset", "images", "input", "name", "project", "run", "source", "train-dir"}
"""Words of other tools for what is an argument without a name here."""
RECIPE_VERBS = ("train", "probe", "ablate", "distill")
READ_RUN_FIRST = ("predict", "evaluate", "labels", "serve", "export", "distill")
WITH_IMAGES_FIRST = ("train", "probe", "ablate")
UNSAID = "VALUE"
LIKE = 0.6  # how alike two words are whose one may be meant by the other, 0 to 1


def describe_mistake(arguments: Sequence[str], error: CycloptsError) -> str:
    """Say in one line what is wrong with a command, and what to type instead.

    Args:
        arguments: of the command line.
        error: that parsing them has raised.

    Example:
        >>> error = UnknownCommandError(unused_tokens=["trian"])
        >>> describe_mistake(["trian", "images", "run"], error)
        'there is no verb trian; write bestiary train'
    """
    if isinstance(error.__cause__, ArgumentError):  # of a converter, which says it all
        return str(error.__cause__)
    return _describe_parsing(arguments[0], arguments, error)


def _describe_parsing(verb: str, arguments: Sequence[str], error: CycloptsError) -> str:
    """Say what the parser has not understood."""
    given = [name for name in _option_names(arguments) if name in OPTIONS]
    old = next((name for name in given if OPTIONS[name] in _own_options(verb)), None)
    if old is not None:
        return f"{old} is called {OPTIONS[old]} now; see bestiary {verb} --help"
    if isinstance(error, UnknownCommandError):
        return _describe_verb(verb)
    if isinstance(error, UnknownOptionError):
        option = (error.token.keyword or error.token.value).partition("=")[0]
        return _describe_option(verb, option, arguments, _names(error))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return _describe_extra(verb, error.unused_tokens[0])
    line = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        if arguments[1:] == ["help"]:
            return f"{verb} does not take 'help'; write bestiary {verb} --help"
        if not name.startswith("--"):
            return f"{verb} needs {name.upper()}; {_see(verb)}"
        line = f"{verb}: {name} needs a value"
    return f"{line}; see bestiary {verb} --help"


def describe_swapped(arguments: Sequence[str]) -> str:
    """Say that images and run stand in the wrong order; empty if they do not.

    Args:
        arguments: of a command that has failed.
    """
    verb, *rest = arguments
    places = [argument for argument in rest[:2] if not argument.startswith("-")]
    if len(places) < 2:
        return ""
    first, second = (_is_run(place) for place in places)
    swapped = shlex.join(["bestiary", verb, places[1], places[0]])
    if verb in READ_RUN_FIRST and second and not first:
        return f"{places[0]} is not a run, but {places[1]} is; write {swapped}"
    if verb in WITH_IMAGES_FIRST and first and not second and os.path.exists(places[1]):
        return f"{places[0]} is a run, and images come first; write {swapped}"
    return ""


def _option_names(arguments: Sequence[str]) -> list[str]:
    return [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]


def _own_options(verb: str) -> list[str]:
    """List the long options of a verb; none of what is no verb."""
    if verb not in VERBS:
        return []
    return [f"--{name.replace('_', '-')}" for name in signature(verb_function(verb)).parameters]


def _is_run(place: str) -> bool:
    return os.path.isfile(Path(place, RECIPE))  # False too where no file can have this name


def _describe_verb(word: str) -> str:
    """Say which verb a word may stand for."""
    plain = word.lstrip("-").lower()
    if plain in COMMANDS:
        return f"there is no verb {word}; write {COMMANDS[plain]}"
    near = [OTHER_VERBS[plain]] if plain in OTHER_VERBS else _nearest(plain, VERBS)
    if not near:
        return f"there is no verb {word}; the verbs are {', '.join(sorted(VERBS))}"
    return f"there is no verb {word}; write bestiary {near[0]}"


def _describe_extra(verb: str, word: str) -> str:
    """Say what to write instead of an argument too many: it may be an option, or its value."""
    options = signature(verb_function(verb)).parameters
    problem = f"{verb} does not take {word!r}"
    if word in options:
        return f"{problem}; write --{word}"
    if "out" in options and Path(word).suffix:
        return f"{problem}; write --out {shlex.quote(word)}"
    return f"{problem}; {_see(verb)}"


def _describe_option(verb: str, option: str, arguments: Sequence[str], names: Sequence[str]) -> str:
    """Say which option may be meant by one that a verb does not have."""
    word = option.lstrip("-").replace("_", "-").lower()
    problem = f"{verb} has no option {option}"
    advice = ADVICE.get(f"{verb} {word}") or ADVICE.get(word, "")
    if advice and set(re.findall(r"--[a-z0-9-]+", advice)) <= set(names):
        return f"{problem}; {advice}"
    if word in OVERWRITE:
        return f"{problem}; {_overwriting(names)}"
    other = OTHER_OPTIONS.get(word)
    if word in PLACES or (other == "--out" and other not in names):  # the run's folder
        return f"{problem}; {_see(verb)}"
    value = _value_of(option, arguments)
    if key := foreign_key(word):
        return f"{problem}; {_write_key(verb, key, value, names)}"
    # Compared without the dashes, which all have in common
    near = _nearest(word, [name.removeprefix("--") for name in names])
    if other in names or near:
        return f"{problem}; write {other if other in names else f'--{near[0]}'}"
    return f"{problem}; see bestiary {verb} --help"


def _overwriting(names: Sequence[str]) -> str:
    """Say what to do where something is there already."""
    further = ", or continue with --resume" if "--resume" in names else ""
    return f"what took long is never overwritten; name another place{further}"


def _write_key(verb: str, key: str, value: str, names: Sequence[str]) -> str:
    """Say how a verb is told the value of a recipe's key."""
    own = OWN_OPTIONS.get(key)
    if key == "model.backbone" and value.isidentifier() and value != UNSAID:
        value = f"timm/{value}"  # most names of other tools are names of timm's
    setting = shlex.quote(f"{key}={value}")
    if own in names:
        return f"write {own} {shlex.quote(value)}"
    if verb in RECIPE_VERBS:
        return f"write --set {setting}"
    return f"that is {key}, which bestiary train sets by --set {setting}"


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """Return the value that was given to an option; `UNSAID` where there is none."""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name != option:
            continue
        if equals:
            return value
        following = arguments[number + 1 : number + 2]
        if following and not following[0].startswith("--"):
            return following[0]
    return UNSAID


def _names(error: UnknownOptionError) -> list[str]:
    """List the options of the verb that an error is of."""
    return [
        name
        for argument in error.argument_collection
        if argument.parse
        for name in argument.names
        if name.startswith("--")
    ]


def _nearest(word: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(word, known, 1, LIKE)


def _see(verb: str) -> str:
    return f"write {usage(verb)}; see bestiary {verb} --help"
