"""The runs of an ablation -> what each variant changes: accuracy and paired difference.

Variants are evaluated out of fold, and on held-out test data. Images and folds are the same for all
variants, so what is hard for all cancels out. Knows nothing of how the runs were made.
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
from bestiary.evaluation.out_of_fold import class_numbers
from bestiary.evaluation.unseen import Logits, Unseen, member_logits, unseen_images
from bestiary.recipe.choices import Average
from bestiary.run.run import Run
from bestiary.stats.averaging import average
from bestiary.stats.paired import Difference, Hits, paired_over_seeds

EvaluatedOn = Literal["out of fold", "held out"]


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One variant, evaluated in one way.

    Attributes:
        variant: its name.
        evaluated_on: ``out of fold``: members, each on images that it was not trained on; ``held
            out``: the ensemble, on test data.
        seeds: number of trainings.
        images: number of images.
        accuracy: mean over the seeds.
        difference: to the first variant; None for the first itself.
    """

    variant: str
    evaluated_on: EvaluatedOn
    seeds: int
    images: int
    accuracy: float
    difference: Difference | None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as flat columns of a table."""
        columns: dict[str, Any] = {
            "variant": self.variant,
            "evaluated_on": self.evaluated_on,
            "seeds": self.seeds,
            "images": self.images,
            "accuracy": self.accuracy,
        }
        if self.difference:
            difference = asdict(self.difference)
        else:
            difference = dict.fromkeys(Difference.__slots__)
        columns["difference"] = difference.pop("value")
        return columns | difference


def evaluate_out_of_fold(runs: Mapping[str, Sequence[Run]]) -> list[AblationRow]:
    """Evaluate the variants out of fold.

    Args:
        runs: variant -> its finished runs, one for each seed; the first variant is the reference.

    Returns:
        A row for each variant.

    Raises:
        RunError: a run has folds that have not ended.
    """
    all_runs = [run for variant_runs in runs.values() for run in variant_runs]
    paths = [str(run.path) for run in all_runs]
    comparison = compare_runs(all_runs, paths)

    # Each variant's runs follow one another, one for each seed
    n_seeds = len(all_runs) // len(runs)
    hits = {}
    for variant, name in enumerate(runs):
        start = variant * n_seeds
        indices = range(start, start + n_seeds)
        hits[name] = np.stack([comparison.hits(index) for index in indices])
    return _rows(hits, "out of fold", comparison.groups)


def evaluate_held_out(
    runs: Mapping[str, Sequence[Run]],
    rules: Mapping[str, Average],
    images: Path,
    display: Display,
) -> list[AblationRow]:
    """Evaluate the variants on labeled images that their runs were not trained on.

    A run that several variants share predicts once.

    Args:
        runs: as for `evaluate_out_of_fold`.
        rules: how each variant averages its members.
        images: folder of class folders, or a table.
        display: shows progress.

    Returns:
        A row for each variant.

    Raises:
        DataError: there is no labeled image that is new to the runs.
    """
    first_run = next(iter(runs.values()))[0]
    classes = first_run.read_classes()
    unseen = unseen_images(first_run, classes, images, display, first_run.read_recipe().data)
    logits, is_readable = _run_logits(_distinct_runs(runs), unseen, display)

    # Average each run's members by its variant's rule
    table = unseen.table.filter(pl.Series(is_readable))
    labels = class_numbers(table["label"], classes)
    hits = {}
    for name, variant_runs in runs.items():
        seed_hits = []
        for run in variant_runs:
            probabilities = average(logits[run.path], rules[name])
            seed_hits.append(probabilities.argmax(axis=1) == labels)
        hits[name] = np.stack(seed_hits)
    return _rows(hits, "held out", leak_groups(table))


def _run_logits(
    runs: Sequence[Run],
    unseen: Unseen,
    display: Display,
) -> tuple[dict[Path, Logits], NDArray[np.bool_]]:
    """Compute the logits of each run, and which images are readable: the same for all runs."""
    logits = {}
    is_readable = np.ones(unseen.table.height, np.bool_)
    for run in runs:
        ensemble = Ensemble.load(run)
        logits[run.path], reasons = member_logits(ensemble, unseen.root, unseen.table, display)
        is_readable[list(reasons)] = False
    return logits, is_readable


def _distinct_runs(runs: Mapping[str, Sequence[Run]]) -> list[Run]:
    by_path = {}
    for variant_runs in runs.values():
        for run in variant_runs:
            by_path[run.path] = run
    return list(by_path.values())


def _rows(
    hits: Mapping[str, Hits],
    evaluated_on: EvaluatedOn,
    groups: NDArray[np.int64],
) -> list[AblationRow]:
    """Make a row of each variant's hits (seeds, images)."""
    reference = next(iter(hits.values()))
    rows = []
    for name, variant_hits in hits.items():
        difference = None
        if variant_hits is not reference:
            difference = paired_over_seeds(reference, variant_hits, groups)
        seeds, images = variant_hits.shape
        row = AblationRow(
            variant=name,
            evaluated_on=evaluated_on,
            seeds=seeds,
            images=images,
            accuracy=float(variant_hits.mean()),
            difference=difference,
        )
        rows.append(row)
    return rows
