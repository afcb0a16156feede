"""Read and write oof.parquet: the out-of-fold logits of one fold, with a checksum.

The logits are those of the fold's member on its held-out part, the images that it was not trained
on. Where they are means over several views of an image, those of the first view may stand beside
them. Knows nothing of how they are scored.
"""

import hashlib
import json

import numpy as np
import polars as pl

from bestiary.errors import DamagedError, RunError, one_line
from bestiary.model.tensor_card import claimed_checksum
from bestiary.run.layout import FoldFiles
from bestiary.run.tables import TEXT, check_unique_paths, read_table, write_table
from bestiary.tables import read_metadata

MAX_LOGIT = 1e6
LOGITS = "logits"
MEMBER = "member"  # entry of the metadata: checksum of the member that computed the logits
FIRST_VIEW = "first_view"  # column: logits of the first test-time view alone


def write_oof(files: FoldFiles, table: pl.DataFrame, classes: list[str]) -> None:
    """Write the out-of-fold logits of a fold.

    Args:
        files: of the fold.
        table: columns path, label and logits (array of float32), and the same of the first view
            where there are several.
        classes: class names in the order of the logits.
    """
    metadata = {"classes": json.dumps(classes, ensure_ascii=False)}
    if member := claimed_checksum(files.weights):
        metadata[MEMBER] = member
    for column, key in _columns(table).items():
        metadata[key] = _checksum(table, column)
    write_table(files.oof, table, metadata)


def read_oof(files: FoldFiles) -> tuple[pl.DataFrame, list[str]]:
    """Read the out-of-fold logits of a fold.

    Returns:
        The table with the columns path, label and logits (array of float32), with those of the
        first view where they are known, and the class names in the order of the logits.

    Raises:
        DamagedError: the file is missing, changed or not what `write_oof` writes.
        RunError: the logits are not those of the fold's member.
    """
    table = read_table(files.oof, {"path": TEXT, "label": TEXT})
    check_unique_paths(files.oof, table)
    try:
        metadata = read_metadata(files.oof)
        classes = _names(json.loads(metadata["classes"]))
        is_intact = True
        for column, key in _columns(table).items():
            if table.schema.get(column) != pl.Array(pl.Float32, len(classes)):
                raise ValueError("logits of other classes")
            _check_logits(table[column])
            is_intact &= metadata.get(key) in (None, _checksum(table, column))
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise DamagedError.foreign(files.oof, one_line(error)) from None
    if not is_intact:
        raise DamagedError(f"{files.oof}: its checksum does not hold; remove it and --resume")
    _check_member(files, metadata.get(MEMBER))
    return table, classes


def _check_member(files: FoldFiles, wanted: str | None) -> None:
    """Refuse weights or logits of another run or fold; an earlier version names no member.

    Damaged weights, which claim no checksum, are for those who read them to refuse.
    """
    claimed = claimed_checksum(files.weights)
    if wanted not in (None, claimed) and claimed is not None:
        raise RunError(
            f"{files.oof}: is not of the member in {files.weights.name} beside it; put the right "
            f"one back, or remove {files.folder} and go on with --resume"
        )


def _columns(table: pl.DataFrame) -> dict[str, str]:
    """Columns of logits, each with the entry of the metadata that has its checksum."""
    first = {FIRST_VIEW: "sha256_first_view"} if FIRST_VIEW in table.columns else {}
    return {LOGITS: "sha256", **first}


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) < 2 or len(set(map(str, value))) < len(value):
        raise ValueError("its classes are not a list of different names")
    return [str(name) for name in value]


def _check_logits(column: pl.Series) -> None:
    """Refuse gaps and numbers that no network gives: the scores divide and exponentiate them."""
    if column.null_count() or column.explode().null_count():
        raise ValueError("gaps in its logits")
    logits = column.to_numpy()
    is_usual = np.abs(logits) <= MAX_LOGIT
    if not is_usual.all():  # nan included
        raise ValueError(f"logits that are no number or above {MAX_LOGIT:,.0f}")


def _checksum(table: pl.DataFrame, column: str) -> str:
    """SHA-256 of paths, labels and a column of logits."""
    rows = table.select("path", "label").rows()
    digest = hashlib.sha256(json.dumps(rows).encode())
    digest.update(np.ascontiguousarray(table[column].to_numpy()).data)
    return digest.hexdigest()
