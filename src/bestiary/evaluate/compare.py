"""Finished runs -> paired differences of their out-of-fold accuracy on the pictures they share.

Every picture is judged by each run's member that has not seen it, so what is hard for all cancels out, and a difference
shows with far fewer pictures than two separate intervals would need. Reads the runs, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student

from bestiary.data.folds import join_groups
from bestiary.data.manifest import GROUP_KEYS
from bestiary.ensemble import softmax
from bestiary.errors import DataError
from bestiary.evaluate.intervals import Z95, Interval, share_interval
from bestiary.evaluate.oof import read_out_of_fold
from bestiary.recipe import Recipe
from bestiary.run import Run
from bestiary.storage import Root

Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second of two runs gets right more than the first.

    Attributes:
        value: difference of accuracies, -1 to 1.
        low: lower end of the 95 % interval.
        high: upper end.
        wins: pictures that only the second has right.
        losses: pictures that only the first has right.
        p: two-sided exact McNemar test, groups counted once; over several seeds a t-test.
    """

    value: float
    low: float
    high: float
    wins: int
    losses: int
    p: float


@dataclass(frozen=True)
class Comparison:
    """Runs on the pictures that all of them have scored.

    Attributes:
        names: a name for each run, all different; the first is what the others are compared with.
        recipes: what was asked of each.
        root: folder that the first one's pictures' paths start from.
        table: path, label, and `predicted_0`, `confidence_0`, `predicted_1` ... of each run.
        accuracies: of each run.
        differences: of each run but the first, against the first.
        alone: for each run, how many of its pictures some other lacks.
        groups: group number of each picture (pictures,).
    """

    names: list[str]
    recipes: list[Recipe]
    root: Root
    table: pl.DataFrame
    accuracies: list[Interval]
    differences: list[Difference]
    alone: list[int]
    groups: NDArray[np.int64]

    def hits(self, number: int) -> Hits:
        """Whether run `number` has each picture right (pictures,)."""
        return (self.table[f"predicted_{number}"] == self.table["label"]).to_numpy()

    def changed(self, number: int, *, won: bool) -> pl.DataFrame:
        """Rows that only run `number` (won) or only the first (lost) has right, the surest first."""
        right = [pl.col(f"predicted_{n}") == pl.col("label") for n in (0, number)]
        rows = self.table.filter(~right[0] & right[1] if won else right[0] & ~right[1])
        return rows.sort(f"confidence_{number}", "path", descending=[True, False])


def paired_difference(first: Hits, second: Hits, groups: NDArray[np.int64]) -> Difference:
    """The difference of two shares of hits on the same pictures.

    Interval: Bonett and Price 2012 (doi:10.3102/1076998611411915), which holds for few changed pictures too, at the
    effective number of pictures. Test: exact McNemar (1947, doi:10.1007/BF02295996) on the groups' net changes.

    Args:
        first: whether each picture was right (pictures,), one at least.
        second: likewise.
        groups: group number of each picture (pictures,).
    """
    change = second.astype(np.int64) - first
    n, wins, losses = len(change), int((change > 0).sum()), int((change < 0).sum())
    _, codes = np.unique(groups, return_inverse=True)
    net = np.bincount(codes, change)
    alone = float(((change - change.mean()) ** 2).sum())
    together = float((np.bincount(codes, change - change.mean()) ** 2).sum())
    size = n / max(1.0, together / alone) if alone else float(len(net))
    more, less = (wins / n * size + 1) / (size + 2), (losses / n * size + 1) / (size + 2)
    half = Z95 * sqrt((more + less - (more - less) ** 2) / (size + 2))
    better, worse = int((net > 0).sum()), int((net < 0).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    middle = more - less
    return Difference(float(change.mean()), max(-1.0, middle - half), min(1.0, middle + half), wins, losses, p)


def paired_over_seeds(first: Hits, second: Hits, groups: NDArray[np.int64]) -> Difference:
    """The difference of two shares of hits on the same pictures, each the mean over trainings with several seeds.

    Both pictures and seeds are drawn from larger sets, so both spread: the variance is the sum of the groups' (of
    changes averaged over the seeds) and of the seeds' (of changes averaged over the pictures), which errs on the safe
    side (Owen 2007, doi:10.1214/07-AOAS122). Student's t at Satterthwaite's degrees of freedom (1946,
    doi:10.2307/3002019). As for one seed, a picture that is won and one that is lost are added (Bonett and Price 2012).

    Args:
        first: whether each picture was right (seeds, pictures); with one seed see `paired_difference`.
        second: likewise.
        groups: group number of each picture (pictures,).
    """
    if len(first) == 1:
        return paired_difference(first[0], second[0], groups)
    change = second.astype(np.int64) - first
    seeds = len(change)
    _, codes = np.unique(groups, return_inverse=True)
    each = np.append(change.mean(axis=0), [1.0, -1.0])
    codes = np.append(codes, [codes.max() + 1, codes.max() + 2])
    middle, clusters = float(each.mean()), int(codes.max()) + 1
    by_group = clusters / (clusters - 1) * float((np.bincount(codes, each - middle) ** 2).sum()) / len(each) ** 2
    by_seed = float(change.mean(axis=1).var(ddof=1)) / seeds
    error = sqrt(by_group + by_seed)
    freedom = (by_group + by_seed) ** 2 / (by_group**2 / (clusters - 1) + by_seed**2 / (seeds - 1))
    half = float(student.ppf(0.975, freedom)) * error
    p = float(2 * student.sf(abs(middle) / error, freedom))
    wins, losses = int((change > 0).sum()), int((change < 0).sum())
    return Difference(float(change.mean()), max(-1.0, middle - half), min(1.0, middle + half), wins, losses, p)


def compare_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> Comparison:
    """Compare `runs`, two at least, with the first, on the pictures (the same bytes and label) that all have scored.

    Args:
        runs: finished runs.
        names: of the runs, all different; None: those of their folders.

    Raises:
        RunError: a run has folds that have not ended.
        DataError: no picture is in all of them.
    """
    tables = [_predictions(run, number) for number, run in enumerate(runs)]
    shared = tables[0]
    for table in tables[1:]:
        shared = shared.join(
            table.drop("path", "group", "copies"), on=["digest", "label"], how="inner", maintain_order="left"
        )
    if shared.is_empty():
        raise DataError("compare: the runs have no picture in common; compare runs of the same data")
    groups = join_groups(*(shared[key] for key in GROUP_KEYS))
    hits = [(shared[f"predicted_{number}"] == shared["label"]).to_numpy() for number in range(len(runs))]
    return Comparison(
        list(names or _names(runs)),
        [run.recipe for run in runs],
        runs[0].root,
        shared,
        [share_interval(hit, groups) for hit in hits],
        [paired_difference(hits[0], hit, groups) for hit in hits[1:]],
        [table.height - shared.height for table in tables],
        groups,
    )


def _predictions(run: Run, number: int) -> pl.DataFrame:
    run.check_ended()
    table, classes = read_out_of_fold(run)
    table = table.filter(~pl.col("conflict")).unique(["digest", "label"], keep="first", maintain_order=True)
    probabilities = softmax(table["logits"].to_numpy())
    return table.select("path", "label", *GROUP_KEYS).with_columns(
        pl.Series(f"predicted_{number}", [classes[n] for n in probabilities.argmax(axis=1)], pl.String),
        pl.Series(f"confidence_{number}", probabilities.max(axis=1)),
    )


def _names(runs: Sequence[Run]) -> list[str]:
    short = [run.name for run in runs]
    return short if len(set(short)) == len(short) else [run.place for run in runs]
