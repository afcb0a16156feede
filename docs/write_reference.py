"""Write the reference pages that follow from the code: commands, recipes, run folder, HTTP.

python docs/write_reference.py

The pages are committed, so that they can be read without building the site, and a change of a verb
shows in its review; tests/docs/test_reference.py compares them with the code. The Python pages hold
no text: mkdocstrings reads the docstrings when the site is built.
"""

import inspect
import json
import os
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cyclopts.argument import Argument
from http_reference import NOTE, http_page, openapi_of_small_run

from bestiary.cli.application import build_app
from bestiary.cli.verbs import GROUPS, VERBS, usage, verb_function
from bestiary.recipe.defaults import SHIPPED, shipped_text
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe, options
from bestiary.run import layout

REFERENCE = Path(__file__).resolve().parent / "reference"
CLASSES = {
    "Run": "bestiary.api.run.Run",
    "Run, the folder": "bestiary.run.run.Run",
    "Ensemble": "bestiary.api.ensemble.Ensemble",
    "Ensemble, predictions": "bestiary.ensemble.ensemble.Ensemble",
    "Recipe": "bestiary.recipe.options.Recipe",
    "load_recipe": "bestiary.recipe.load.load_recipe",
    "BestiaryError": "bestiary.errors.BestiaryError",
}
"""What `bestiary` has other than verbs -> where its docstring is."""
GROUP_INTRODUCTIONS = {
    "Try": "Images and a whole tour, with nothing but bestiary itself.",
    "Look at images": "Before anything is trained: what is wrong, what would fit, how to pack it.",
    "Train": "From images to a run.",
    "Judge": "What a run is worth, where it is wrong, and what would help.",
    "Use": "A run and new images.",
    "Help": "What can be set, and what is kept.",
}


def pages() -> dict[Path, str]:
    """Compose all pages but that of HTTP, which needs a run.

    Returns:
        Path below docs/reference -> text.
    """
    found = {Path("cli") / f"{slug(title)}.md": command_page(title) for title in GROUPS}
    found[Path("options.md")] = options_page()
    found[Path("recipes.md")] = recipes_page()
    found[Path("run.md")] = run_page()
    found[Path("python/verbs.md")] = verbs_page()
    found[Path("python/classes.md")] = classes_page()
    found[Path("python/sklearn.md")] = sklearn_page()
    return found


def slug(title: str) -> str:
    """Return the file name of a title."""
    return title.lower().replace(" ", "-")


# Commands


def command_page(title: str) -> str:
    """Compose the page of a group of verbs."""
    app = build_app(every_option=True)
    parts = [f"# {title}", NOTE, GROUP_INTRODUCTIONS[title]]
    for verb in GROUPS[title]:
        parts += [f"## bestiary {verb}", f"```text\n{usage(verb)} [OPTIONS]\n```"]
        parts += list(description(verb))
        arguments = app[verb].assemble_argument_collection(
            default_parameter=app.default_parameter, parse_docstring=True
        )
        parts.append("\n".join(option_line(one) for one in arguments if one.show))
        parts.append(
            f"In Python: [`bestiary.{verb}`](../python/verbs.md). Short: `bestiary {verb} --help`."
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def description(verb: str) -> Iterator[str]:
    """Yield the paragraphs of a verb's docstring; commands in it become blocks."""
    text = inspect.cleandoc(verb_function(verb).__doc__ or "").partition("\nParameters\n")[0]
    text = text.partition("\nExamples\n")[0]  # a verb without parameters
    for paragraph in text.strip().split("\n\n"):
        joined = " ".join(paragraph.split())
        if joined.startswith("bestiary "):
            command = joined.replace(" --vary", " \\\n    --vary") if len(joined) > 90 else joined
            yield f"<!-- not run: an example of the help -->\n```sh\n{command}\n```"
        else:
            yield joined


def option_line(argument: Argument) -> str:
    """Format one argument or option as an item of a list."""
    option = next((name for name in argument.names if name.startswith("--")), None)
    default = argument.field_info.default
    name = option or argument.name.upper()
    others = [one for one in argument.names if one.startswith("-") and one != option]
    text = " ".join((argument.parameter.help or "").split())
    line = f"- **`{name}`**{''.join(f', `{one}`' for one in others)}: {text}"
    if choices := choices_of(argument.hint):
        line += f" One of {', '.join(f'`{one}`' for one in choices)}."
    if option and default not in (inspect.Parameter.empty, None, False, ()):
        line += f" Default: `{default}`."
    return line


def choices_of(hint: Any) -> tuple[Any, ...]:
    """List the values of a literal type, also of an optional one."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((choices_of(part) for part in get_args(hint) if choices_of(part)), ())


# Recipes


def options_page() -> str:
    """Compose the page of all options, with each recipe's value."""
    recipes = {name: json.loads(load_recipe(name).model_dump_json()) for name in SHIPPED}
    parts = [
        "# Options of a recipe",
        NOTE,
        "`--set section.key=value` sets one of these, in `train`, `probe`, `ablate` and `distill`. "
        "The section may be left out where only one has the key: `--set epochs=6`. A value that is "
        "the same in all recipes stands once. `bestiary options WORD --recipe NAME` prints them.",
    ]
    described = {option.name: option for option in options()}
    for section, field in Recipe.model_fields.items():
        summary = " ".join((type(field.default).__doc__ or "").split("\n\n")[0].split())
        names = [name for name in described if name.startswith(f"{section}.")]
        parts += [f"## {section}", summary]
        parts.append("\n".join(described_option(described[name], recipes) for name in names))
        varying = [name for name in names if len(values_of(name, recipes)) > 1]
        if varying:
            parts.append(value_table(varying, recipes))
    return "\n\n".join(parts) + "\n"


def described_option(option: Any, recipes: dict[str, dict[str, Any]]) -> str:
    """Format an option as an item of a list, with its value where all recipes agree."""
    line = f"- **`{option.name}`**: {option.description}."
    found = values_of(option.name, recipes)
    return line + (f" In all recipes `{found.pop()}`." if len(found) == 1 else "")


def values_of(name: str, recipes: dict[str, dict[str, Any]]) -> set[str]:
    """Collect the values that the recipes have for an option."""
    section, _, key = name.partition(".")
    return {json.dumps(values[section][key]) for values in recipes.values()}


def value_table(names: list[str], recipes: dict[str, dict[str, Any]]) -> str:
    """Format the values of some options, one row each, one column a recipe."""
    rows = ["| value in | " + " | ".join(f"`{recipe}`" for recipe in recipes) + " |"]
    rows.append("|---" * (len(recipes) + 1) + "|")
    for name in names:
        section, _, key = name.partition(".")
        cells = [f"`{short(values[section][key])}`" for values in recipes.values()]
        rows.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def short(value: object) -> str:
    """Format a value in TOML's notation, with three digits of a fraction."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return f"[{', '.join(short(one) for one in value)}]"
    return json.dumps(value).strip('"')


def recipes_page() -> str:
    """Compose the page of the shipped recipes: the comment of each file, and its values."""
    parts = [
        "# Recipes",
        NOTE,
        "A recipe is a TOML file with some [options](options.md). What it does not name has the "
        "default. `--recipe` takes one of these names, or the path of a file of yours. A run has "
        "its own in `recipe.toml`, every value resolved.",
        "Start with `probe`: [why](../explanation/probe-first.md). What the parts of `best` are "
        "worth: [its own page](../explanation/best.md). `paper` reproduces a published report, "
        "[Sean20405/NYCU-DLVR-HW1](https://github.com/Sean20405/NYCU-DLVR-HW1).",
    ]
    for name in SHIPPED:
        comment, _, values = shipped_text(name).partition("\n\n")
        lines = [line.removeprefix("#").removeprefix(" ") for line in comment.splitlines()]
        parts.append(f"## {name}")
        parts.append(f"<!-- not run: DATA and RUN stand for yours -->\n```sh\n{lines[0]}\n```")
        parts.append(as_prose(lines[1:]))
        parts.append(f"```toml\n{values.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def as_prose(lines: list[str]) -> str:
    """Turn the lines of a comment into paragraphs; indented lines become a block."""
    parts: list[str] = []
    for line in lines:
        indented = line.startswith("  ")
        if not line:
            parts.append("")
        elif indented and parts and parts[-1].startswith("```"):
            parts[-1] = parts[-1].removesuffix("\n```") + f"\n{line.strip()}\n```"
        elif indented:
            parts.append(f"```text\n{line.strip()}\n```")
        elif line.startswith(("Cost:", "Expect")) or not parts or parts[-1].startswith("```"):
            parts.append(line)
        else:
            parts[-1] = f"{parts[-1]} {line}".strip()
    return "\n\n".join(part for part in parts if part)


# The run folder


def run_page() -> str:
    """Compose the page of a run's files from the docstring of `run.layout`."""
    text = inspect.cleandoc(layout.__doc__ or "")
    tree = text.partition("::\n\n")[2].partition("\n\nA finished")[0]
    parts = [
        "# The run folder",
        NOTE,
        f"Format {layout.RUN_FORMAT} (of a joined run, {layout.JOINED_FORMAT}). A finished "
        "decision is a file: recipe, manifest, folds and out-of-fold logits are written once, and "
        "read by everything after. There is no pickle in it. Weights are safetensors, tables are "
        "Parquet and CSV, the rest is JSON and TOML.",
        f"```text\n{textwrap.dedent(tree).strip()}\n```",
        "## What a reader needs",
    ]
    names = ("recipe.toml", "manifest.parquet", "fold-0/weights.safetensors", "fold-0/oof.parquet")
    names += ("fold-0/last/state.safetensors", "fold-0/tensorboard/events", "metrics.json")
    rows = ["| file | to predict |", "|---|---|"]
    for name in names:
        needed = "needed" if layout.needed_for_prediction(name) else "not needed"
        rows.append(f"| `{name}` | {needed} |")
    parts += ["A run that only predicts may be copied without the others:", "\n".join(rows)]
    parts += [
        "## Other folders",
        f"`bestiary scan --out`: `{layout.QUARANTINE}`, `{layout.WARNINGS}`, "
        f"`{layout.NEAR_DUPLICATES}`, `{layout.SAME_SCENES}`, `{layout.CLASSES}`, "
        f"`{layout.NOT_DUPLICATES}`, `{layout.SCAN_PAGE}`.",
        f"`bestiary ablate`: a run for each variant and seed, `{layout.ABLATION_TABLE}`, "
        f"`{layout.ABLATION_TEXT}`, and a page that compares them.",
        f"`bestiary evaluate --out`: `{layout.EVALUATION_PAGE}`, `{layout.HELD_OUT_SCORES}`, "
        f"`{layout.EVALUATED_IMAGES}`, `{layout.CLASSES}`, `{layout.CONFUSION}`.",
        f"`bestiary predict --review`: `{layout.REVIEW_PAGE}`.",
    ]
    return "\n\n".join(parts) + "\n"


# Python


def verbs_page() -> str:
    """Compose the page of the verbs in Python, for mkdocstrings."""
    parts = [
        "# Verbs in Python",
        NOTE,
        "Each verb of the command line is a function of the same name: `bestiary.train` is "
        "`bestiary train`. Options are keyword arguments, with underscores for dashes. `--set` is "
        "`overrides`, a list. Errors are a `bestiary.BestiaryError`.",
        "A `Location` is a path or an address, as text or `pathlib.Path`. A `RunLocation` is one "
        "too, or the run itself, such as `train` returns. `Data` is a location, or a frame, or a "
        "list of paths.",
    ]
    names = [*VERBS, "load"]
    parts += [directive(f"bestiary.api.{name}.{name}", "numpy") for name in sorted(names)]
    return "\n\n".join(parts) + "\n"


def classes_page() -> str:
    """Compose the page of the public classes, for mkdocstrings."""
    parts = [
        "# Classes",
        NOTE,
        "What verbs return, and what errors are. Examples: [in Python](../../how-to/python.md).",
    ]
    for title, place in CLASSES.items():
        parts += [f"## {title}", directive(place, "google", level=3)]
    return "\n\n".join(parts) + "\n"


def sklearn_page() -> str:
    """Compose the page of the scikit-learn estimator, for mkdocstrings."""
    parts = [
        "# scikit-learn",
        NOTE,
        "One estimator, for `cross_val_score`, `Pipeline` and `GridSearchCV`.",
        directive("bestiary.sklearn.ImageClassifier", "google"),
    ]
    return "\n\n".join(parts) + "\n"


def directive(place: str, style: str, level: int = 2) -> str:
    """Ask mkdocstrings for an object, whose docstring has a style."""
    return (
        f"::: {place}\n    options:\n      docstring_style: {style}\n      heading_level: {level}"
    )


def main() -> None:
    """Write all pages."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["BESTIARY_CACHE"] = os.environ["BESTIARY_STATE"] = f"{scratch}/cache"
        written = pages() | {Path("http.md"): http_page(openapi_of_small_run(Path(scratch)))}
    for path, text in written.items():
        file = REFERENCE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
