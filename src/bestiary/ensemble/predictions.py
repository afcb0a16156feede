"""An ensemble and a folder of any size -> a table of predictions, one row for each image.

Rows are stored as they come (`bestiary.ensemble.resumable_table`). So memory is that of a batch and
of the paths, and an interrupted prediction can be resumed. Unreadable images have a row with the
reason. Knows nothing of runs.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bestiary.data.clocks import describe_clocks
from bestiary.data.detections.read import is_detections
from bestiary.data.left_out import count_files, describe_deep
from bestiary.data.listing import DEFAULT_OPTIONS as DATA_OPTIONS
from bestiary.data.listing import list_images
from bestiary.data.listing_types import Listing
from bestiary.display import Display
from bestiary.ensemble.answers import PredictionOptions
from bestiary.ensemble.caveats import TrainedFiles
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.field_rules import FieldRules
from bestiary.ensemble.only import RemovedShares
from bestiary.ensemble.predicted_rows import (
    Watcher,
    carried_schema,
    empty_rows,
    field_schema,
    predicted_rows,
    with_events,
)
from bestiary.ensemble.prediction_table import CASCADE_SCHEMA, TABLE_SCHEMA, PredictionTable
from bestiary.ensemble.resumable_table import ResumableTable
from bestiary.ensemble.submission import check_names, write_submission
from bestiary.ensemble.watch import POLL_TIME_SHARE, may_be_arriving, new_images
from bestiary.errors import ArgumentError
from bestiary.numbers import counted
from bestiary.recipe.choices import Average, TableFormat
from bestiary.recipe.sections import DataOptions
from bestiary.storage.files import Root
from bestiary.tables import check_suffix

DEFAULT_OPTIONS = PredictionOptions()
MAX_UNKEPT = 200  # images whose answers may be printed alone


@dataclass(frozen=True, slots=True)
class PredictJob:
    """The request of a prediction: which images, into which table, and how.

    Attributes:
        images: a folder that is searched with its subfolders, a table of paths, an image; or
            several of these.
        out: the table, .csv or .parquet.
        rule: how the members are averaged; None: as the run's recipe says.
        layout: full, or a submission.
        options: coverage and risk of the answers.
        resume: whether to continue an interrupted prediction.
        data: folder that the paths of a table start from, and the boxes in the images.
        cascade: risk at which images stop after one member; None: none stops.
        rules: what changes answers in the field; None: nothing does.
        is_kept: whether the table stays; else at most `MAX_UNKEPT` images are predicted.

    Raises:
        ArgumentError: `out` is not the name of such a table, or is a folder.
    """

    images: tuple[Path, ...]
    out: Path
    rule: Average | None = None
    layout: TableFormat = "full"
    options: PredictionOptions = DEFAULT_OPTIONS
    resume: bool = False
    data: DataOptions = DATA_OPTIONS
    cascade: float | None = None
    rules: FieldRules | None = None
    is_kept: bool = True

    def __post_init__(self) -> None:
        kinds = (".csv",) if self.layout == "submission" else (".csv", ".parquet")
        check_suffix("--out", self.out, kinds)
        if self.out.is_dir():
            raise ArgumentError(
                f"--out {self.out}: cannot be written, a folder has that name; choose another"
            )

    @property
    def boxes_file(self) -> Path | None:
        """The file of a detector or labeling tool that the boxes are from; None: there is none."""
        if self.data.boxes:
            return Path(self.data.boxes)
        is_file = len(self.images) == 1 and is_detections(self.images[0])
        return self.images[0] if is_file else None

    def open_rows(
        self, ensemble: Ensemble, carried: dict[str, Any] | None = None
    ) -> ResumableTable:
        """Open the rows of this job, predicted by `ensemble`, with more columns."""
        request = {
            "run": ensemble.digest,
            "engine": ensemble.engine,
            "number of views": ensemble.tta,
            "folder": self._place(),
            "average": self.rule or ensemble.average,
            "format": self.layout,
            **asdict(self.options),
        }
        if self.data.boxes:
            request["boxes"] = str(Path(self.data.boxes).resolve())
        if self.rules is not None:
            request |= self.rules.request()
        if ensemble.decisions:
            request["decisions"] = ensemble.decisions.to_json()
        schema = TABLE_SCHEMA
        if self.cascade is not None:
            request["cascade"] = self.cascade
            schema = CASCADE_SCHEMA
        schema = schema | _further(ensemble) | (carried or {})
        return ResumableTable(self.out, request, schema, resume=self.resume)

    def _place(self) -> str:
        """Name the images; of many, the first and a digest of all."""
        names = [str(path.resolve()) for path in self.images]
        if len(names) == 1:
            return names[0]
        digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape"))
        return f"{names[0]} and {len(names) - 1:,} more, {digest.hexdigest()}"


def predict_folder(
    ensemble: Ensemble,
    job: PredictJob,
    display: Display,
    trained: TrainedFiles | None = None,
    check_root: Callable[[Root], None] | None = None,
    watcher: Watcher | None = None,
) -> PredictionTable:
    """Predict every image of a job that has no row yet, and write the table.

    Args:
        ensemble: predicts.
        job: which images, and the table.
        display: shows progress.
        trained: the files that the ensemble was trained on, to say so of those that are predicted.
        check_root: called with the folder of the images before they are predicted.
        watcher: is given the logits of every batch.

    Returns:
        The files and the counts.

    Raises:
        ArgumentError: names of a submission clash, rows exist that may not be continued, or the
            answers of many images would be lost.
        DataError: there is no image.
    """
    listing = list_images(job.images, job.data)
    all_paths = listing.table["path"]
    _check_kept(job, len(all_paths))
    if check_root:
        check_root(listing.root)
    for line in _notices(listing, trained, job.rules):
        display.notice(line)
    if job.layout == "submission":
        check_names(all_paths)
    all_images = with_events(listing.table, job.rules)
    rules = job.rules.for_images(listing.table) if job.rules else None
    carried = carried_schema(all_images) | field_schema(all_images, job.rules)
    removed = RemovedShares()
    with job.open_rows(ensemble, carried) as rows:
        # Images that have no row yet
        done = rows.paths()
        images = all_images.filter(~pl.col("path").is_in(done.implode()))
        if len(done):
            words = ("image already has its row", "images already have their rows")
            display.line(counted(len(done), *words))

        _add_unusable(rows, _without_row(listing.unusable, done))
        rows.add(empty_rows(listing.empty.filter(~pl.col("path").is_in(done.implode()))))
        with display.counter("Predicting") as tick:
            deep: list[float] = []
            rule = job.rule or ensemble.average
            for batch_rows in predicted_rows(
                ensemble, listing.root, images, rule, job.options, tick, deep, rules, watcher
            ):
                rows.add(batch_rows)
                removed.add(batch_rows)
        for line in describe_deep(deep, ensemble.view.white):
            display.notice(line)
        if line := str(removed):
            display.notice(line)

        files = _write(rows, job)
        counts = rows.counts()
        rows.remove()
        return PredictionTable(files, counts, listing.root, _further(ensemble) | carried)


def _check_kept(job: PredictJob, n_images: int) -> None:
    """Refuse to predict many images whose answers would be lost."""
    if not job.is_kept and n_images > MAX_UNKEPT:
        raise ArgumentError(
            f"{n_images:,} images: their answers would be printed and lost; add --out "
            "prediction.csv"
        )


def _notices(listing: Listing, trained: TrainedFiles | None, rules: FieldRules | None) -> list[str]:
    """What a user should know of the images before they are predicted."""
    paths = listing.table["path"]
    reasons = [reason for _, reason in listing.unusable]
    lines = [*listing.notes, *count_files({"images": len(paths)}, reasons, listing.ignored)]
    if trained:
        lines.append(trained.describe_boxes(listing.root))
        lines.append(trained.describe(listing.root, paths))
    if rules:
        lines.append(rules.describe_prior(listing.table))
        lines.append(describe_clocks(listing.table))
    return [line for line in lines if line]


def _further(ensemble: Ensemble) -> dict[str, Any]:
    """Columns that a promise or costs add."""
    return dict(ensemble.decisions.schema) if ensemble.decisions else {}


def _without_row(unusable: Sequence[tuple[str, str]], done: pl.Series) -> list[tuple[str, str]]:
    """Select the unusable files that are not among the done paths."""
    if not unusable:
        return []  # saves a set of all paths
    done_paths = set(done)
    return [(path, reason) for path, reason in unusable if path not in done_paths]


def watch_folder(
    ensemble: Ensemble,
    job: PredictJob,
    display: Display,
    trained: TrainedFiles | None = None,
    watcher: Watcher | None = None,
) -> PredictionTable:
    """Predict the images of a folder as they arrive, until Ctrl-C.

    The table is written when no image is waiting, and at the end. The rows stay on disk, so that a
    later watch can resume. An unreadable image has its row a minute after its last change. Images
    are answered one by one: nothing is known of times, places and boxes.

    Args:
        ensemble: predicts.
        job: the folder, and the table.
        display: shows progress.
        trained: the files that the ensemble was trained on, to say so where these are boxes.
        watcher: is given the logits of every batch.

    Returns:
        The files and the counts.

    Raises:
        ArgumentError: the images are no folder, the job is a submission or has boxes, or rows exist
            that may not be continued.
    """
    folder = _watched_folder(job)
    columns = job.rules.schema if job.rules else {}
    with job.open_rows(ensemble, columns) as rows:
        known = set(rows.paths())
        display.line(f"Watching {folder}; Ctrl-C ends it and writes {job.out}")
        for line in _watch_notices(folder, trained, job.rules):
            display.notice(line)
        try:
            _watch(ensemble, job, folder, rows, known, display, watcher)
        except KeyboardInterrupt:
            display.line("")
        further = _further(ensemble) | columns
        return PredictionTable(_write(rows, job), rows.counts(), folder, further)


def _watched_folder(job: PredictJob) -> Path:
    """Return the one folder of a job."""
    if len(job.images) > 1:
        raise ArgumentError(
            f"--watch: watches one folder, and {len(job.images)} are named; name the folder above"
        )
    (folder,) = job.images
    if not folder.is_dir():
        raise ArgumentError(f"--watch: {folder} is no folder; make it, or leave --watch out")
    if job.layout == "submission":
        raise ArgumentError(
            "--watch: a submission is handed in once; leave --format submission out"
        )
    if job.data.boxes:
        raise ArgumentError(
            f"--watch: predicts whole images as they come; leave data.boxes = {job.data.boxes} "
            f"out, or leave --watch out and predict the folder with its boxes"
        )
    return folder


def _watch_notices(
    folder: Path, trained: TrainedFiles | None, rules: FieldRules | None
) -> list[str]:
    """What a user should know of the answers to images that come one by one."""
    lines = [trained.describe_boxes(folder)] if trained else []
    if rules and (rules.prior or rules.card.events):
        lines.append(
            "While a folder is watched, each image has its own answer: no times are read, so "
            "events, place and month do not count, and clocks that jump are not found. Predict a "
            "table with them once the folder is complete"
        )
    return [line for line in lines if line]


def _watch(
    ensemble: Ensemble,
    job: PredictJob,
    folder: Path,
    rows: ResumableTable,
    known: set[str],
    display: Display,
    watcher: Watcher | None,
) -> None:
    """Predict new images without end. Writing the table takes at most a share of the time."""
    due = time.monotonic()
    n_written = len(known)
    for complete, unusable in new_images(folder, known):
        _add_unusable(rows, unusable)
        if complete:
            _predict_round(ensemble, job, folder, rows, complete, known, display, watcher)
        elif n_written != len(known) and time.monotonic() >= due:
            started = time.monotonic()
            n_written = len(known)
            _write(rows, job)
            now = time.monotonic()
            due = now + (now - started) / POLL_TIME_SHARE


def _predict_round(
    ensemble: Ensemble,
    job: PredictJob,
    folder: Path,
    rows: ResumableTable,
    complete: list[str],
    known: set[str],
    display: Display,
    watcher: Watcher | None,
) -> None:
    """Predict the complete images. Those that may still be arriving are no longer known."""
    images = pl.DataFrame({"path": complete}, schema={"path": pl.String})
    with display.counter("Predicting") as tick:
        rule = job.rule or ensemble.average
        for batch_rows in predicted_rows(
            ensemble, folder, images, rule, job.options, tick, rules=job.rules, watcher=watcher
        ):
            unreadable = [row["path"] for row in batch_rows if row.get("error")]
            arriving = {path for path in unreadable if may_be_arriving(folder / path)}
            known -= arriving
            rows.add(row for row in batch_rows if row["path"] not in arriving)


def _add_unusable(rows: ResumableTable, unusable: Sequence[tuple[str, str]]) -> None:
    rows.add({"path": path, "error": reason} for path, reason in unusable)


def _write(rows: ResumableTable, job: PredictJob) -> list[Path]:
    """Write the table, or the submission and its archive."""
    if job.layout == "full":
        rows.write()
        return [job.out]
    return write_submission(rows)
