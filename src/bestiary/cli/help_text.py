"""A verb's docstring -> the text of its help: short for the verbs with many options, or whole."""

import inspect
import re

USUAL = {
    "train": "data run recipe budget folds epochs batch seed device overrides resume dry_run quiet",
    "predict": "run images out only review sort device resume watch quiet",
    "serve": "run host port token_file allow_host engine quiet",
}
"""Verb -> the options that its help shows. ``--help-all`` shows the others too."""
SENTENCE_END = re.compile(r"(?<=[.?!])\s")


def usual_options(verb: str) -> tuple[str, ...] | None:
    """Return the options that a verb's help shows; None: all of them.

    Example:
        >>> usual_options("scan") is None, usual_options("train")[:3]
        (True, ('data', 'run', 'recipe'))
    """
    return tuple(USUAL[verb].split()) if verb in USUAL else None


def more_options(verb: str, short: bool) -> str | None:
    """Say where the other options of a verb are; None where the help shows everything."""
    lines = []
    if short:
        lines.append(f"More options, and more about these: bestiary {verb} --help-all")
    if verb in ("train", "probe", "ablate", "distill"):
        lines.append("What --set takes, with a recipe's values: bestiary options --recipe best")
    return "\n".join(lines) or None


def help_text(docstring: str, short: bool = False) -> str:
    r"""Turn a verb's docstring into help: no examples, and one line for each paragraph.

    cyclopts keeps line breaks. Without them, it wraps the text to the terminal.

    Args:
        docstring: in NumPy's style.
        short: whether each option keeps its first sentence alone.

    Example:
        >>> help_text("Do it.\n\nParameters\n----------\nhow\n    Fast. Or slow.", short=True)
        'Do it.\n\nParameters\n----------\nhow\n    Fast.'
    """
    text = inspect.cleandoc(docstring).partition("\nExamples\n")[0]
    lines: list[str] = []
    for line in text.splitlines():
        previous = lines[-1] if lines else ""
        if _is_text(line) and _is_text(previous) and _indentation(line) == _indentation(previous):
            lines[-1] = f"{previous} {line.strip()}"
        else:
            lines.append(line)
    if short:
        lines = [_first_sentence(line) if _indentation(line) else line for line in lines]
    return "\n".join(lines)


def _first_sentence(line: str) -> str:
    """Return the first sentence of an indented line."""
    start = _indentation(line)
    return line[:start] + SENTENCE_END.split(line[start:], maxsplit=1)[0]


def _is_text(line: str) -> bool:
    """Whether a line is neither empty nor the underline of a section."""
    return bool(line.strip("- "))


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
