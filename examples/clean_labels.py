"""Labels that are probably wrong -> a second run without the surest.

python clean_labels.py photos run again

Relabels only what the networks are very sure of, and leaves the rest to a person on the page of
`bestiary labels`. Both scores are printed; that of the second run is also by the new labels.
"""

import sys
from pathlib import Path

import polars as pl

import bestiary

photos, first, second = sys.argv[1:4]
LIMIT = 0.05  # probability of the given label, under which it is replaced

before = bestiary.probe(photos, first, quiet=True)
suspects = bestiary.labels(first).fixes
action = pl.when(pl.col("score") < LIMIT).then(pl.lit("relabel")).otherwise(pl.lit("keep"))
decided = suspects.with_columns(action=action)
table = Path(f"{second}-fixes.csv")
decided.write_csv(table)
print(f"{suspects.height} suspects, {(decided['action'] == 'relabel').sum()} relabeled")

after = bestiary.probe(photos, second, fixes=table, quiet=True)
print("before:", before.score_line)
print("after: ", after.score_line)
