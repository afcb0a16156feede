"""The accuracy drop of int8, out of fold, and how far two outputs agree."""

import numpy as np
import polars as pl

from bestiary.exporting.agreement import accuracy_drop, compare_outputs
from bestiary.exporting.graph import Outputs


def test_accuracy_drop_is_out_of_fold() -> None:
    logits = np.zeros((4, 2, 3), np.float32)  # images, members, classes
    logits[:, 0, 0] = logits[:, 1, 1] = 5.0  # member 0 always says a, member 1 always b
    changed = logits.copy()
    changed[3, 1] = (0, 0, 9)  # held out by member 1, which was right and now says c
    changed[0, 1] = (0, 0, 9)  # held out by member 0, so member 1 does not count
    tables = [Outputs(each.mean(axis=1), each.max(axis=(1, 2)), each) for each in (logits, changed)]
    alone = pl.Series([None] * 4, dtype=pl.String)
    table = pl.DataFrame(
        {
            "label": ["a", "b", "c", "b"],
            "fold": [3, 3, 7, 7],
            "group": alone,
            "duplicate_group": alone,
        }
    )
    table = table.with_columns(pl.Series("sha256", list("wxyz")))
    found = accuracy_drop(*tables, table, [3, 7], ["a", "b", "c"])
    assert (found["accuracy_float32"], found["accuracy_int8"]) == (0.5, 0.25)
    assert (found["difference"]["wins"], found["difference"]["losses"]) == (0, 1)
    assert compare_outputs(*tables)["labels_equal"] == 2
