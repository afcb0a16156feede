"""TODO run.oof"""

import hashlib
import json

import numpy as np
import polars as pl

from bestiary.errors import DamagedError, one_line
from bestiary.run.layout import FoldFiles
from bestiary.run.tables import TEXT, read_table, write_table
from bestiary.tables import read_note


def write_oof(files: FoldFiles, table: pl.DataFrame, classes: list[str]) -> None:
    """Write out-of-fold predictions; see `read_oof` for the columns."""
    card = {"classes": json.dumps(classes, ensure_ascii=False), "sha256": _oof_checksum(table)}
    write_table(files.oof, table, card)


def read_oof(files: FoldFiles) -> tuple[pl.DataFrame, list[str]]:
    """Out-of-fold predictions of a fold and the classes of their logits.

    Returns:
        columns path, label, logits (array of float32), and the class names in the order of the
        logits.
    """
    table = read_table(files.oof, {"path": TEXT, "label": TEXT})
    try:
        card = read_note(files.oof)
        classes = [str(name) for name in json.loads(card["classes"])]
        if table.schema.get("logits") != pl.Array(pl.Float32, len(classes)):
            raise ValueError("logits of other classes")
        whole = card.get("sha256") in (None, _oof_checksum(table))
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise DamagedError(
            f"{files.oof}: is not of bestiary's making ({one_line(error)})"
        ) from None
    if not whole:
        raise DamagedError(f"{files.oof}: its checksum does not hold; remove it and --resume")
    return table, classes


def _oof_checksum(table: pl.DataFrame) -> str:
    """SHA-256 of paths, labels and logits."""
    digest = hashlib.sha256(json.dumps(table.select("path", "label").rows()).encode())
    digest.update(np.ascontiguousarray(table["logits"].to_numpy()).data)
    return digest.hexdigest()
