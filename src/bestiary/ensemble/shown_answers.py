"""Rows of predictions -> lines for a person: one image in full, or the first of many."""

import polars as pl

from bestiary.numbers import percent
from bestiary.printable import printable_name

MAX_SHOWN = 10
MAX_PATH = 36  # columns of a path; of a longer one the end is shown


def shown_answers(table: pl.DataFrame) -> list[str]:
    """Say what was predicted, image by image.

    Args:
        table: of predictions, as `predict` writes it in full.

    Returns:
        A line for each of the first images; of a single one its next labels too.
    """
    rows = table.head(MAX_SHOWN).to_dicts()
    paths = [_short(str(row["path"])) for row in rows]
    width = max(map(len, paths), default=0)
    lines = [f"  {path:<{width}}  {_answer(row)}" for path, row in zip(paths, rows, strict=True)]
    if len(rows) == 1 and rows[0].get("label_2") and not rows[0].get("unknown"):
        lines.append(f"  {'':<{width}}  next: {_next_labels(rows[0])}")
    if table.height > len(rows):
        lines.append(f"  and {table.height - len(rows):,} more")
    return lines


def _answer(row: dict[str, object]) -> str:
    """Say the label of an image and how sure it is, or why it has none."""
    if row.get("error"):
        return f"cannot be read: {printable_name(row['error'])}"
    label = printable_name(row["label"])
    if row.get("unknown"):
        return f"unknown (nearest: {label})"
    confidence = row.get("confidence")
    if not isinstance(confidence, float):
        return label
    accepted = row.get("accepted")
    sure = "" if accepted is None else ", sure" if accepted else ", not sure"
    return f"{label} {percent(confidence)}{sure}"


def _next_labels(row: dict[str, object]) -> str:
    """List the labels after the first, each with its confidence."""
    words = []
    rank = 2
    while row.get(f"label_{rank}"):
        confidence = row[f"confidence_{rank}"]
        assert isinstance(confidence, float)
        words.append(f"{printable_name(row[f'label_{rank}'])} {percent(confidence)}")
        rank += 1
    return ", ".join(words)


def _short(path: str) -> str:
    name = printable_name(path)
    return name if len(name) <= MAX_PATH else f"…{name[-MAX_PATH + 1 :]}"
