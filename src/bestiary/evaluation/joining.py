"""Finished runs on the same folds -> one run, whose members are weighted sums of theirs.

The new run has the images and folds of its parts, the blended out-of-fold logits, and copies of all
members. The weights of a member come from the folds other than its own, so its score is as honest
as any run's. Trains nothing.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.ensemble.card import read_card
from bestiary.errors import ArgumentError, RunError
from bestiary.evaluation.finish import calibrate_and_score
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.numbers import counted, percent, percent_range, points, points_range
from bestiary.printable import printable_name, shell_name
from bestiary.run.budget_file import (
    MAX_SECONDS,
    MAX_TEXT_LENGTH,
    MAX_TRIALS,
    BudgetRecord,
    read_budget,
)
from bestiary.run.finished_files import FILES_KEY
from bestiary.run.layout import (
    BUDGET,
    ENSEMBLE,
    JOINED_FORMAT,
    MAX_RUNS,
    RECIPE,
    TARGETS,
    TRAIN_ONLY,
    blend_folder,
)
from bestiary.run.oof import write_oof
from bestiary.run.run import Run, RunSnapshot
from bestiary.screen_table import ScreenTable
from bestiary.stats.blending import Blend, BlendGain, blend_gain, blend_runs
from bestiary.stats.paired import Difference


@dataclass(frozen=True)
class Joined:
    """A joined run and what it is worth; prints as a table.

    Attributes:
        run: the run.
        names: of its parts.
        weights: share of each part in the blended logits, mean of the folds (parts,).
        gain: out-of-fold accuracies and paired differences.
    """

    run: Run
    names: list[str]
    weights: NDArray[np.float64]
    gain: BlendGain

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        gain = self.gain
        added: Sequence[Difference | None] = gain.added or [None] * len(self.names)
        columns = zip(self.names, gain.alone, self.weights, added, strict=True)
        return {
            "run": self.run.place,
            "parts": [
                {"run": name, "accuracy": alone, "share": share, "adds": adds}
                for name, alone, share, adds in columns
            ],
            "accuracy": gain.blend,
            "best_alone": self.names[gain.best],
            "gain": gain.gain,
        }

    def __str__(self) -> str:
        gain = self.gain
        table = ScreenTable("run", "alone", "95 % interval", "share in the blend", "adds (points)")
        for number, (name, alone) in enumerate(zip(self.names, gain.alone, strict=True)):
            added = _points(gain.added[number]) if gain.added else ""
            interval = percent_range(alone.low, alone.high)
            share = percent(float(self.weights[number]), 0)
            table.add_row(name, percent(alone.value), interval, share, added)
        blend = gain.blend
        table.add_row("blend", percent(blend.value), percent_range(blend.low, blend.high), "", "")
        best = printable_name(self.names[gain.best])
        lines = [
            str(table),
            f"Out of fold, each fold by weights of the other folds. Against {best}, the best "
            f"alone: {_points(gain.gain)} points.",
        ]
        if gain.gain.low <= 0:
            lines.append(
                f"That the blend gains anything here is not shown; {best} alone takes less time."
            )
        lines.append(f"What next: bestiary evaluate {shell_name(self.run.place)} LABELED_IMAGES")
        return "\n".join(lines)


def _points(difference: Difference) -> str:
    interval = points_range(difference.low, difference.high)
    return f"{points(difference.value)} [{interval}]"


def join_runs(runs: Sequence[Run], out: Path) -> Joined:
    """Join finished runs.

    Args:
        runs: two or more; the first one's recipe is that of the new run.
        out: folder of the new run, which must not exist.

    Returns:
        The new run and what it is worth.

    Raises:
        ArgumentError: there are too few or too many runs, or `out` exists.
        RunError: a run is not finished, its classes, images, labels or folds are others, or too few
            images are left to learn weights from.
    """
    if not 2 <= len(runs) <= MAX_RUNS:
        raise ArgumentError(
            f"join: {counted(len(runs), 'run')}; name 2 to {MAX_RUNS}, then the new folder"
        )
    if out.exists():
        raise ArgumentError(f"{out}: exists already, and nothing is overwritten; choose another")
    snapshots = [run.load() for run in runs]
    for snapshot in snapshots:
        _check_part(snapshot)
    read = [read_out_of_fold(snapshot) for snapshot in snapshots]
    first, *others = read
    aligned = [
        first.table,
        *(_aligned(runs[0], first, *pair) for pair in zip(runs[1:], others, strict=True)),
    ]
    every = np.stack([table["logits"].to_numpy().astype(np.float64) for table in aligned])

    # Weights from images that may be scored; then the blend of all
    budget = _joined_budget(snapshots)
    may_score = _may_score(first, budget, runs[0].place)
    scored = (every[:, may_score], first.labels[may_score], first.folds[may_score])
    weights = blend_runs(*scored, members=first.folds)
    gain = blend_gain(*scored, first.groups[may_score])
    rows = np.searchsorted(weights.folds, first.folds)
    blended = np.einsum("nr,rnc->nc", weights.weights[rows], every)

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        _write(Run(Path(scratch) / out.name), snapshots, first, blended, weights, budget)
        (Path(scratch) / out.name).rename(out)
    run = Run(out)
    if place := runs[0].named_root():
        run.remember_root(place)
    shares = _shares(every, weights)
    return Joined(run, _names(runs), shares, gain)


def _may_score(first: OutOfFold, budget: BudgetRecord | None, place: str) -> NDArray[np.bool_]:
    """Find the images without a conflict that no run has chosen its recipe on (images,).

    Raises:
        RunError: they lie in one fold, which leaves none to learn its weights from.
    """
    chosen_on = budget.folds if budget else []
    has_conflict = first.table["label_conflict"].to_numpy()
    may_score = np.asarray(~has_conflict & ~np.isin(first.folds, chosen_on))
    if len(np.unique(first.folds[may_score])) < 2:
        raise RunError(
            f"{place}: without the images that a budget was spent on, fewer than "
            "two folds are left to learn the weights from; join runs of three folds or more"
        )
    return may_score


def _joined_budget(snapshots: Sequence[RunSnapshot]) -> BudgetRecord | None:
    """What all runs tried within their budgets, as one record; None if none had a budget."""
    records = [record for part in snapshots if (record := read_budget(part.run))]
    if not records:
        return None
    return BudgetRecord(
        seconds=min(MAX_SECONDS, sum(record.seconds for record in records)),
        spent=min(MAX_SECONDS, sum(record.spent for record in records)),
        folds=sorted({fold for record in records for fold in record.folds}),
        trials=[trial for record in records for trial in record.trials][:MAX_TRIALS],
        chosen=" + ".join(record.chosen for record in records)[:MAX_TEXT_LENGTH],
        notes=[note for record in records for note in record.notes][:MAX_TRIALS],
    )


def _shares(logits: NDArray[np.float64], blend: Blend) -> NDArray[np.float64]:
    """Share of each run in the blend: its weight times the spread of its logits, mean of folds."""
    spreads = (logits - logits.mean(axis=2, keepdims=True)).std(axis=(1, 2))
    parts = blend.weights * spreads
    total = parts.sum(axis=1, keepdims=True)  # 0 where no run tells the classes apart
    return np.asarray((parts / np.where(total > 0, total, 1)).mean(axis=0))


def _names(runs: Sequence[Run]) -> list[str]:
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [run.place for run in runs]


def _check_part(snapshot: RunSnapshot) -> None:
    """Refuse runs without out-of-fold logits of all images, and those that blend others."""
    snapshot.check_ended()
    run = snapshot.run
    is_student = run.file(TARGETS).exists() or (snapshot.fold_table["fold"] == TRAIN_ONLY).any()
    if is_student:
        raise RunError(f"{run.place}: is a student, which has no folds; join the runs it is from")
    if read_card(run).n_runs > 1:
        raise RunError(f"{run.place}: is joined itself; name the runs that it was made of")


def _aligned(reference: Run, first: OutOfFold, run: Run, other: OutOfFold) -> pl.DataFrame:
    """Bring a run's images into the order of the first run's.

    Raises:
        RunError: it has other classes, images, labels or folds, of which one is named.
    """
    remedy = "train both on the same images with the same folds and seed"
    if other.classes != first.classes:
        odd = sorted(set(first.classes) ^ set(other.classes)) or first.classes
        raise RunError(
            f"{run.place}: has other classes than {reference.place} ({odd[0]!r:.80}); {remedy}"
        )
    keys = ["path", "sha256"]
    joined = first.table.select(*keys, "label", "fold").join(
        other.table.select(*keys, "label", "fold", "logits"),
        on=keys,
        how="left",
        suffix="_other",
        maintain_order="left",
    )
    missing = joined.filter(pl.col("logits").is_null())
    if missing.height or joined.height != other.table.height:
        extra = other.table.join(first.table, on=keys, how="anti")
        name = (missing if missing.height else extra)["path"][0]
        raise RunError(
            f"{run.place}: {printable_name(name)} is not in both runs with the same bytes; {remedy}"
        )
    for column, what in (("label", "label"), ("fold", "fold")):
        differs = joined.filter(pl.col(column) != pl.col(f"{column}_other"))
        if differs.height:
            row = differs.row(0, named=True)
            raise RunError(
                f"{run.place}: {printable_name(row['path'])} has {what} "
                f"{row[f'{column}_other']!r:.80} there and {row[column]!r:.80} in "
                f"{reference.place}, so a member would judge images that another was trained on; "
                f"{remedy}"
            )
    return joined


def _write(
    run: Run,
    snapshots: Sequence[RunSnapshot],
    first: OutOfFold,
    logits: NDArray[np.float64],
    blend: Blend,
    budget: BudgetRecord | None,
) -> None:
    """Write all files of the joined run."""
    for number, part in enumerate(snapshots):
        _copy_part(part.run, run if number == 0 else Run(run.path / blend_folder(number)))
    backbones = [part.recipe.model.backbone for part in snapshots]
    recipe = snapshots[0].recipe.with_values({"model.backbone": " + ".join(backbones)})
    if budget is not None:
        run.write_json(BUDGET, budget.model_dump())  # its images are not scored here either
    run.begin_like(snapshots[0].run, recipe)
    column = pl.Series("logits", logits.astype(np.float32), pl.Array(pl.Float32, logits.shape[1]))
    table = first.table.with_columns(column)
    for fold in blend.folds.tolist():
        held_out = table.filter(fold=fold).select("path", "label", "logits")
        write_oof(run.fold(fold), held_out, first.classes)

    card = run.read_json(ENSEMBLE)
    card["format"] = JOINED_FORMAT
    card["backbone"] = recipe.model.backbone
    card["members"] = sorted(card["members"], key=lambda member: member["fold"])
    card["blend"] = {
        "weights": blend.weights.tolist(),
        "runs": [part.run.name for part in snapshots],
    }
    run.write_json(ENSEMBLE, card)
    calibrate_and_score(run.load())


def _copy_part(source: Run, goal: Run) -> None:
    """Copy the members of a run and their card, without its calibration and other files."""
    for fold in source.fold_numbers():
        goal.fold(fold).folder.mkdir(parents=True)
        shutil.copyfile(source.fold(fold).weights, goal.fold(fold).weights)
    shutil.copyfile(source.file(RECIPE), goal.file(RECIPE))
    card = source.read_json(ENSEMBLE)
    for key in ("calibration", FILES_KEY):
        card.pop(key, None)
    card["members"] = sorted(card["members"], key=lambda member: member["fold"])
    goal.write_json(ENSEMBLE, card)
