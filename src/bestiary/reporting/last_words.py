"""The last words of `train` and `probe`: what a person wants to know next, in a few lines."""

import textwrap

from bestiary.evaluation.results import Results
from bestiary.numbers import count, duration, percent, percent_range
from bestiary.printable import printable_name
from bestiary.reporting.charts.classes import scored_classes
from bestiary.reporting.run_sections.finding import suspect_labels
from bestiary.run.costs import read_costs
from bestiary.streams import screen_width

MAX_WEAKEST = 3
HEAD_WIDTH = 14


def last_words(results: Results) -> str:
    """Say how the folds and all members together do, what is weak, and how long it took.

    Args:
        results: the results of a run.

    Returns:
        Lines of at most `screen_width()` columns, but for very long class names.
    """
    folds = [fold["value"] for fold in results.scores["folds"]]
    lines = [("Single folds", f"{percent(min(folds))} to {percent(max(folds))}")]
    together = results.scores.get("ensemble")
    if together:
        n_members = len(results.run.fold_numbers())
        members = "Both members" if n_members == 2 else f"All {count(n_members, 'member')}"
        interval = percent_range(together["low"], together["high"])
        about = f"about {percent(together['value'])} ({interval}) on new images, expected"
        lines.append((members, about))
    if weak := _weakest(results):
        lines.append(("Weakest", weak))
    suspects = suspect_labels(results)
    if suspects:
        lines.append(("Labels", f"{count(suspects, 'label')} may be wrong"))
    run = results.run
    costs = read_costs([run.fold(fold) for fold in run.fold_numbers()])
    seconds = float(costs["seconds"].sum())
    if seconds:
        lines.append(("Time", f"{duration(seconds)} for all folds"))
    return "\n".join(_wrapped(head, text) for head, text in lines)


def _weakest(results: Results) -> str:
    """Name the classes that are found least often; empty where none is ever missed."""
    words = []
    for row in scored_classes(results)[:MAX_WEAKEST]:
        if not row["wrong"]:
            break
        taken_for = f", {row['times']} taken for {row['taken_for']}" if row["times"] > 1 else ""
        share = percent(row["recall"]["value"], 0)
        words.append(f"{row['name']} ({share} of {row['support']:,}{taken_for})")
    return ", ".join(words)


def _wrapped(head: str, text: str) -> str:
    """Write a line with its head, wrapped below itself."""
    indent = " " * HEAD_WIDTH
    return textwrap.fill(
        printable_name(text),
        screen_width(),
        initial_indent=f"{head:<{HEAD_WIDTH}}",
        subsequent_indent=indent,
        break_long_words=False,
    )
