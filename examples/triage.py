"""New images -> tables of those that are sure, to be looked at, unknown and unreadable.

python triage.py run new_photos out
"""

import sys
from pathlib import Path

import polars as pl

import bestiary

run, images, out = sys.argv[1:4]
folder = Path(out)
folder.mkdir()

# Of accepted answers at most one in twenty is wrong. Sets have the truth nine times in ten.
answers = bestiary.load(run).predict_frame(images, coverage=0.9, risk=0.05, quiet=True)
answers = answers.with_columns(pl.col("prediction_set").cast(pl.List(pl.String)).list.join("|"))

piles = {
    "unreadable": pl.col("error").is_not_null(),
    "unknown": pl.col("unknown").fill_null(False),
    "sure": pl.col("accepted").fill_null(False),
    "look": pl.lit(True),
}
for name, belongs in piles.items():
    pile = answers.filter(belongs)
    answers = answers.filter(~belongs)
    pile.write_csv(folder / f"{name}.csv")
    print(f"{name}: {pile.height}")
