"""A finished run -> how many answers fine-tuning has changed, where heads were fitted before it.

Knows nothing of training.
"""

import polars as pl

from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.run.tables import TEXT, read_table


def changed_answers(run: Run) -> tuple[int, int] | None:
    """Count the held-out images that fine-tuning gives another class than the head before it.

    Args:
        run: a run whose folds have ended.

    Returns:
        Number of images whose answer changed, and of all that can be compared; None if there are
        none, as after heads alone.

    Raises:
        DamagedError: answers or logits are damaged.
    """
    changed = 0
    compared = 0
    for fold in run.fold_numbers():
        files = run.fold(fold)
        if not files.start.exists():
            continue
        before = read_table(files.start, {"path": TEXT, "predicted": TEXT})
        table, classes = read_oof(files)
        after = [classes[index] for index in table["logits"].to_numpy().argmax(axis=1)]
        both = table.select("path").with_columns(after=pl.Series(after, dtype=pl.String))
        both = both.join(before, on="path")
        changed += int((both["after"] != both["predicted"]).sum())
        compared += both.height
    return (changed, compared) if compared else None


def unchanged_line(run: Run) -> str | None:
    """Say that fine-tuning has changed no answer; None if it has, or if none can be compared.

    Args:
        run: a run whose folds have ended.

    Raises:
        DamagedError: answers or logits are damaged.
    """
    counts = changed_answers(run)
    if counts is None or counts[0]:
        return None
    return (
        f"Fine-tuning has changed none of {counts[1]:,} held-out answers: heads alone (bestiary "
        "probe) give the same in a fraction of the time; raise optimizer.lr, or leave it"
    )
