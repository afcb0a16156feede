"""Read and write oof.parquet: the out-of-fold logits of one fold, with a checksum.

The logits are those of the fold's member on its held-out part, the images that it was not trained
on. Knows nothing of how they are scored.
"""

import hashlib
import json

import numpy as np
import polars as pl

from bestiary.errors import DamagedError, one_line
from bestiary.run.layout import FoldFiles
from bestiary.run.tables import TEXT, check_unique_paths, read_table, write_table
from bestiary.tables import read_metadata

MAX_LOGIT = 1e6


def write_oof(files: FoldFiles, table: pl.DataFrame, classes: list[str]) -> None:
    """Write the out-of-fold logits of a fold.

    Args:
        files: of the fold.
        table: columns path, label and logits (array of float32).
        classes: class names in the order of the logits.
    """
    metadata = {
        "classes": json.dumps(classes, ensure_ascii=False),
        "sha256": _checksum(table),
    }
    write_table(files.oof, table, metadata)


def read_oof(files: FoldFiles) -> tuple[pl.DataFrame, list[str]]:
    """Read the out-of-fold logits of a fold.

    Returns:
        The table with the columns path, label and logits (array of float32), and the class names
        in the order of the logits.

    Raises:
        DamagedError: the file is missing, changed or not what `write_oof` writes.
    """
    table = read_table(files.oof, {"path": TEXT, "label": TEXT})
    check_unique_paths(files.oof, table)
    try:
        metadata = read_metadata(files.oof)
        classes = _names(json.loads(metadata["classes"]))
        if table.schema.get("logits") != pl.Array(pl.Float32, len(classes)):
            raise ValueError("logits of other classes")
        _check_logits(table)
        is_intact = metadata.get("sha256") in (None, _checksum(table))
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise DamagedError.foreign(files.oof, one_line(error)) from None
    if not is_intact:
        raise DamagedError(f"{files.oof}: its checksum does not hold; remove it and --resume")
    return table, classes


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) < 2 or len(set(map(str, value))) < len(value):
        raise ValueError("its classes are not a list of different names")
    return [str(name) for name in value]


def _check_logits(table: pl.DataFrame) -> None:
    """Refuse gaps and numbers that no network gives: the scores divide and exponentiate them."""
    if table["logits"].null_count() or table["logits"].explode().null_count():
        raise ValueError("gaps in its logits")
    logits = table["logits"].to_numpy()
    is_usual = np.abs(logits) <= MAX_LOGIT
    if not is_usual.all():  # nan included
        raise ValueError(f"logits that are no number or above {MAX_LOGIT:,.0f}")


def _checksum(table: pl.DataFrame) -> str:
    """SHA-256 of paths, labels and logits."""
    rows = table.select("path", "label").rows()
    digest = hashlib.sha256(json.dumps(rows).encode())
    digest.update(np.ascontiguousarray(table["logits"].to_numpy()).data)
    return digest.hexdigest()
