"""The runs of an ablation -> what each variant changes, out of fold and on images held out, with
paired intervals.

Images and folds are the same for all, so what is hard for all cancels out. Knows nothing of how the
runs were made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import leak_groups
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.compare import compare_runs
from bestiary.evaluation.held_out import member_logits, unseen_images
from bestiary.evaluation.out_of_fold import class_numbers
from bestiary.run.run import Run
from bestiary.stats.averaging import Average, average
from bestiary.stats.paired import Difference, Hits, paired_over_seeds

Judged = Literal["out of fold", "held out"]


@dataclass(frozen=True, slots=True)
class Row:
    """One variant, judged in one way.

    Attributes:
        variant: its name.
        judged: out of fold: members, each by the images it has not seen; held out: the ensemble.
        seeds: how many trainings.
        images: that it was judged by.
        accuracy: mean over the seeds.
        difference: to the first variant; None for that itself.
    """

    variant: str
    judged: Judged
    seeds: int
    images: int
    accuracy: float
    difference: Difference | None

    def to_dict(self) -> dict[str, Any]:
        """The row flat, for a table."""
        own = {
            key: getattr(self, key)
            for key in ("variant", "evaluated_on", "seeds", "images", "accuracy")
        }
        change = asdict(self.difference) if self.difference else dict.fromkeys(Difference.__slots__)
        return own | {
            ("difference" if key == "value" else key): value for key, value in change.items()
        }


def judge_out_of_fold(runs: Mapping[str, Sequence[Run]]) -> list[Row]:
    """A row a variant (name -> its finished runs, one a seed; the first is the base).

    Raises:
        RunError: a run has folds that have not ended.
    """
    flat = [run for of_variant in runs.values() for run in of_variant]
    found = compare_runs(flat, [str(run.path) for run in flat])
    seeds = len(flat) // len(runs)
    hits = {
        name: np.stack([found.hits(n * seeds + s) for s in range(seeds)])
        for n, name in enumerate(runs)
    }
    return _rows(hits, "out of fold", found.groups)


def judge_held_out(
    runs: Mapping[str, Sequence[Run]],
    rules: Mapping[str, Average],
    images: Path,
    display: Display,
) -> list[Row]:
    """A row a variant, judged by labeled images that its runs have not seen; a run of several is
    run once.

    Args:
        runs: as for `judge_out_of_fold`.
        rules: how each variant averages its members.
        images: folder of class folders, or a table.
        display: shows progress.

    Raises:
        DataError: no labeled image is there that the runs have not seen.
    """
    first = next(iter(runs.values()))[0]
    new = unseen_images(first, first.read_classes(), images, display)
    labels = class_numbers(new.table["label"], first.read_classes())
    logits: dict[Path, NDArray[np.float32]] = {}
    readable = np.ones(new.table.height, np.bool_)
    for run in {run.path: run for of_variant in runs.values() for run in of_variant}.values():
        logits[run.path], readable = member_logits(Ensemble.load(run), new.root, new.table, display)
    labels = labels[readable]
    hits = {
        name: np.stack(
            [average(logits[run.path], rules[name]).argmax(axis=1) == labels for run in of_variant]
        )
        for name, of_variant in runs.items()
    }
    fresh = new.table.filter(pl.Series(readable))
    return _rows(hits, "held out", leak_groups(fresh))


def _rows(hits: Mapping[str, Hits], judged: Judged, groups: NDArray[np.int64]) -> list[Row]:
    base = next(iter(hits.values()))
    return [
        Row(
            name,
            judged,
            len(of_variant),
            of_variant.shape[1],
            float(of_variant.mean()),
            None if of_variant is base else paired_over_seeds(base, of_variant, groups),
        )
        for name, of_variant in hits.items()
    ]
