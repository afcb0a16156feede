"""An ensemble and a folder of any size -> a table of predictions, one row for each image.

Rows are stored as they come (`bestiary.ensemble.resumable_table`). So memory is that of a batch and
of the paths, and an interrupted prediction can be resumed. Unreadable images have a row with the
reason. Knows nothing of runs.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.left_out import count_files, describe_deep
from bestiary.data.listing import list_images
from bestiary.display import Display, Tick
from bestiary.ensemble.answers import TOP_CLASSES, PredictionOptions, answer_batch
from bestiary.ensemble.caveats import TrainedFiles
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.inputs import ImageInput
from bestiary.ensemble.resumable_table import MEMBERS_USED, Counts, ResumableTable
from bestiary.ensemble.submission import check_names, write_submission
from bestiary.ensemble.watch import POLL_TIME_SHARE, may_be_arriving, new_images
from bestiary.errors import ArgumentError
from bestiary.printable import printable_name
from bestiary.recipe.choices import Average, TableFormat
from bestiary.storage.files import Root
from bestiary.tables import read_frame, unescape_formulas

DEFAULT_OPTIONS = PredictionOptions()
Watcher = Callable[[NDArray[np.float32]], None]
"""Is given logits (members, images, classes) as they are computed."""


def _table_schema() -> dict[str, Any]:
    """Columns of the full table; the first label and confidence have no number."""
    schema: dict[str, Any] = {
        "path": pl.String,
        "label": pl.String,
        "confidence": pl.Float64,
    }
    for rank in range(2, TOP_CLASSES + 1):
        schema[f"label_{rank}"] = pl.String
        schema[f"confidence_{rank}"] = pl.Float64
    return schema | {
        "member_agreement": pl.Float64,
        "prediction_set": pl.String,
        "accepted": pl.Boolean,
        "unknown": pl.Boolean,
        "error": pl.String,
    }


TABLE_SCHEMA = _table_schema()
CASCADE_SCHEMA = TABLE_SCHEMA | {MEMBERS_USED: pl.Int64}


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """What `predict` has written.

    Attributes:
        files: the files, the table first.
        counts: images, and how many of them could not be read.
        root: folder that the paths start from.
        review: the page to review the predictions on, if it was asked for.
    """

    files: list[Path]
    counts: Counts
    root: Root
    review: Path | None = None

    @property
    def table(self) -> pl.DataFrame:
        """The table, read back.

        Columns: path, label, confidence, the next four labels with theirs, member_agreement,
        prediction_set, accepted, unknown, error; with a cascade members_used. A submission has
        image_name and pred_label.
        """
        file = self.files[0]
        is_csv = file.suffix.lower() == ".csv"
        is_submission = len(self.files) > 1
        if not is_csv or is_submission:
            return read_frame(file)
        schema = TABLE_SCHEMA if self.counts.stopped is None else CASCADE_SCHEMA
        return unescape_formulas(read_frame(file, schema=schema))

    @property
    def exit_code(self) -> int:
        """1 when some images could not be read."""
        return int(self.counts.unread > 0)

    def __str__(self) -> str:
        predicted = self.counts.rows - self.counts.unread
        files = ", ".join(map(printable_name, self.files))
        lines = [f"{predicted:,} images predicted: {files}"]
        if self.counts.stopped is not None:
            lines.append(f"{self.counts.stopped:,} of them stopped after one member (members_used)")
        if self.exit_code:
            path, reason = self.counts.first
            lines.append(
                f"{self.counts.unread:,} could not be read and have no label; first "
                f"{printable_name(path)}: {printable_name(reason)}"
            )
        if self.review:
            lines.append(f"To check and correct them: {printable_name(self.review)}")
        return "\n".join(lines)


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
        root: folder that the paths of a table start from; empty: the folder that holds it.
        cascade: risk at which images stop after one member; None: none stops.

    Raises:
        ArgumentError: `out` is not the name of such a table, or is a folder.
    """

    images: tuple[Path, ...]
    out: Path
    rule: Average | None = None
    layout: TableFormat = "full"
    options: PredictionOptions = DEFAULT_OPTIONS
    resume: bool = False
    root: str = ""
    cascade: float | None = None

    def __post_init__(self) -> None:
        kinds = (".csv",) if self.layout == "submission" else (".csv", ".parquet")
        if self.out.suffix.lower() not in kinds:
            raise ArgumentError(
                f"--out {self.out}: must be the name of a {' or '.join(kinds)} file"
            )
        if self.out.is_dir():
            raise ArgumentError(
                f"--out {self.out}: cannot be written, a folder has that name; choose another"
            )

    def open_rows(self, ensemble: Ensemble) -> ResumableTable:
        """Open the rows of this job, predicted by `ensemble`."""
        request = {
            "run": ensemble.digest,
            "engine": ensemble.engine,
            "number of views": ensemble.tta,
            "folder": self._place(),
            "average": self.rule or ensemble.average,
            "format": self.layout,
            **asdict(self.options),
        }
        if self.cascade is None:
            return ResumableTable(self.out, request, TABLE_SCHEMA, resume=self.resume)
        request["cascade"] = self.cascade
        return ResumableTable(self.out, request, CASCADE_SCHEMA, resume=self.resume)

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
    watcher: Watcher | None = None,
) -> PredictionTable:
    """Predict every image of a job that has no row yet, and write the table.

    Args:
        ensemble: predicts.
        job: which images, and the table.
        display: shows progress.
        trained: the files that the ensemble was trained on, to say so of those that are predicted.
        watcher: is given the logits of every batch.

    Returns:
        The files and the counts.

    Raises:
        ArgumentError: names of a submission clash, or rows exist that may not be continued.
        DataError: there is no image.
    """
    listing = list_images(job.images, job.root)
    all_paths = listing.table["path"]
    reasons = [reason for _, reason in listing.unusable]
    counts_line = count_files({"images": len(all_paths)}, reasons, listing.ignored)
    for line in [*listing.notes, *counts_line]:
        display.notice(line)
    if job.layout == "submission":
        check_names(all_paths)
    if trained and (line := trained.describe(listing.root, all_paths)):
        display.notice(line)
    with job.open_rows(ensemble) as rows:
        # Images that have no row yet
        done = rows.paths()
        is_done = all_paths.is_in(done.implode())
        paths = all_paths.filter(~is_done)
        if len(done):
            display.line(f"{len(done):,} images already have their rows")

        _add_unusable(rows, _without_row(listing.unusable, done))
        with display.counter("Predicting") as tick:
            deep: list[float] = []
            for batch_rows in predict_rows(ensemble, listing.root, paths, job, tick, deep, watcher):
                rows.add(batch_rows)
        for line in describe_deep(deep, ensemble.view.white):
            display.notice(line)

        files = _write(rows, job)
        counts = rows.counts()
        rows.remove()
        return PredictionTable(files, counts, listing.root)


def _without_row(unusable: Sequence[tuple[str, str]], done: pl.Series) -> list[tuple[str, str]]:
    """Select the unusable files that are not among the done paths."""
    if not unusable:
        return []  # saves a set of all paths
    done_paths = set(done)
    return [(path, reason) for path, reason in unusable if path not in done_paths]


def watch_folder(
    ensemble: Ensemble, job: PredictJob, display: Display, watcher: Watcher | None = None
) -> PredictionTable:
    """Predict the images of a folder as they arrive, until Ctrl-C.

    The table is written when no image is waiting, and at the end. The rows stay on disk, so that a
    later watch can resume. An unreadable image has its row a minute after its last change.

    Args:
        ensemble: predicts.
        job: the folder, and the table.
        display: shows progress.
        watcher: is given the logits of every batch.

    Returns:
        The files and the counts.

    Raises:
        ArgumentError: the images are no folder, the job is a submission, or rows exist that may not
            be continued.
    """
    folder = _watched_folder(job)
    if job.layout == "submission":
        raise ArgumentError(
            "--watch: a submission is handed in once; leave --format submission out"
        )
    with job.open_rows(ensemble) as rows:
        known = set(rows.paths())
        display.line(f"Watching {folder}; Ctrl-C ends it and writes {job.out}")
        try:
            _watch(ensemble, job, folder, rows, known, display, watcher)
        except KeyboardInterrupt:
            display.line("")
        return PredictionTable(_write(rows, job), rows.counts(), folder)


def _watched_folder(job: PredictJob) -> Path:
    """Return the one folder of a job."""
    if len(job.images) > 1:
        raise ArgumentError(
            f"--watch: watches one folder, and {len(job.images)} are named; name the folder above"
        )
    (folder,) = job.images
    if not folder.is_dir():
        raise ArgumentError(f"--watch: {folder} is no folder; make it, or leave --watch out")
    return folder


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
    paths = pl.Series("path", complete, pl.String)
    with display.counter("Predicting") as tick:
        for batch_rows in predict_rows(ensemble, folder, paths, job, tick, watcher=watcher):
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


class _LazyPaths(Sequence[ImageInput]):
    """Paths below a folder, made on access: a million path objects would take memory."""

    def __init__(self, root: Root, paths: pl.Series) -> None:
        self.root = root
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        return self.root / self.paths[index]


def predict_rows(
    ensemble: Ensemble,
    root: Root,
    paths: pl.Series,
    job: PredictJob,
    tick: Tick | None = None,
    deep: list[float] | None = None,
    watcher: Watcher | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Predict images as rows of the table, batch by batch.

    Args:
        ensemble: predicts.
        root: folder that the paths start from.
        paths: of the images.
        job: averaging rule and options.
        tick: called with the number of images done and of all.
        deep: collects `BatchLogits.deep` of all images.
        watcher: is given the logits of the images that could be read (members, images, classes).

    Yields:
        The rows of each batch, in order.
    """
    rule = job.rule or ensemble.average
    images = _LazyPaths(root, paths)
    for batch in ensemble.score(images, tick):
        if deep is not None:
            deep += batch.deep
        if watcher is not None:
            watcher(batch.readable)
        rows = []
        answers = answer_batch(ensemble, batch, rule, job.options)
        for index, answer in zip(batch.rows.tolist(), answers, strict=True):
            reason = batch.reasons.get(index)
            columns = answer.columns() if reason is None else {"error": reason}
            rows.append({"path": paths[index], **columns})
        yield rows
