"""An ensemble and a folder of any size -> a table of predictions, one row an image, read or not.

Rows are kept as they come (`bestiary.ensemble.resumable_table`), so memory is that of a batch and
of the paths, and what was stopped goes on. Knows nothing of runs.
"""

import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.data.listing import list_images
from bestiary.display import Display, Tick
from bestiary.ensemble.answers import TOP, PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import Ensemble, ImageInput
from bestiary.ensemble.resumable_table import Counts, ResumableTable
from bestiary.ensemble.watch import SHARE, may_be_arriving, new_images
from bestiary.errors import ArgumentError
from bestiary.stats.averaging import Average
from bestiary.storage.files import Root
from bestiary.tables import read_frame, unguard

Format = Literal["full", "submission"]
CAREFUL = PredictionOptions()
FULL = {
    "path": pl.String,
    "label": pl.String,
    "confidence": pl.Float64,
    **{
        f"{name}_{n}": kind
        for n in range(2, TOP + 1)
        for name, kind in (("label", pl.String), ("confidence", pl.Float64))
    },
    "member_agreement": pl.Float64,
    "prediction_set": pl.String,
    "accepted": pl.Boolean,
    "unknown": pl.Boolean,
    "error": pl.String,
}


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """What `predict` has written.

    Attributes:
        files: the files, table first.
        counts: images, and how many of them could not be read.
    """

    files: list[Path]
    counts: Counts

    @property
    def table(self) -> pl.DataFrame:
        """The table, read back: path, label, confidence, the next four with theirs, agreement, set,
        sure, unknown, error; of a submission its two columns.
        """
        csv = self.files[0].suffix.lower() == ".csv"
        if not csv or len(self.files) > 1:
            return read_frame(self.files[0])
        return unguard(read_frame(self.files[0], schema=FULL))

    @property
    def exit_code(self) -> int:
        """1 when some images could not be read."""
        return int(self.counts.unread > 0)

    def __str__(self) -> str:
        lines = [
            f"{self.counts.rows - self.counts.unread:,} images predicted: "
            f"{', '.join(map(str, self.files))}"
        ]
        if self.exit_code:
            path, reason = self.counts.first
            lines.append(
                f"{self.counts.unread:,} could not be read and have no label; first {path}: "
                f"{reason}"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class PredictJob:
    """What is to be predicted, and how.

    Attributes:
        images: an image, or a folder that is searched with all folders in it.
        out: the table, .csv or .parquet.
        rule: what is averaged over the members; None: as the run's recipe says.
        layout: full, or a submission.
        caution: how careful answers are to be.
        resume: go on with what was stopped.

    Raises:
        ArgumentError: `out` is not named as a table.
    """

    images: Path
    out: Path
    rule: Average | None = None
    layout: Format = "full"
    caution: PredictionOptions = CAREFUL
    resume: bool = False

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

    def partial(self, ensemble: Ensemble) -> ResumableTable:
        """The rows of this job by `ensemble`."""
        asked = {
            "run": ensemble.digest,
            "engine": ensemble.engine,
            "number of views": ensemble.tta,
            "folder": str(self.images.resolve()),
            "average": self.rule or ensemble.average,
            "format": self.layout,
            **asdict(self.caution),
        }
        return ResumableTable(self.out, asked, FULL, resume=self.resume)


def predict_folder(ensemble: Ensemble, job: PredictJob, display: Display) -> PredictionTable:
    """Predict every image of a job that has no row yet, and write the table.

    Raises:
        ArgumentError: a submission's names would clash, or rows are there that are not to be gone
            on with.
        DataError: no image is there.
    """
    listing = list_images(job.images)
    if job.layout == "submission":
        _check_names(listing.table["path"])
    with job.partial(ensemble) as partial:
        done = partial.paths()
        paths = listing.table["path"].filter(~listing.table["path"].is_in(done.implode()))
        if len(done):
            display.line(f"{len(done):,} images have their rows already")
        seen = set(done) if listing.unusable else set()
        partial.add(
            {"path": path, "error": reason} for path, reason in listing.unusable if path not in seen
        )
        with display.counter("Predicting") as tick:
            for rows in answers(ensemble, listing.root, paths, job, tick):
                partial.add(rows)
        files = _write(partial, job)
        counts = partial.counts()
        partial.remove()
        return PredictionTable(files, counts)


def watch_folder(ensemble: Ensemble, job: PredictJob, display: Display) -> PredictionTable:
    """Predict the images of a folder as they come, until interrupted; the table is written then,
    and now and then.

    The rows stay beside the table, so that watching may go on. An image that cannot be read has its
    row a minute after its last change.

    Raises:
        ArgumentError: as for `predict_folder`, or the images are no folder.
    """
    if not job.images.is_dir():
        raise ArgumentError(f"--watch: {job.images} is no folder; make it, or leave --watch out")
    if job.layout == "submission":
        raise ArgumentError(
            "--watch: a submission is handed in once; leave --format submission out"
        )
    with job.partial(ensemble) as partial:
        known = set(partial.paths())
        due = time.monotonic()
        written = len(known)
        display.line(f"Watching {job.images}; Ctrl-C ends it and writes {job.out}")
        try:
            for complete, unusable in new_images(job.images, known):
                partial.add({"path": path, "error": reason} for path, reason in unusable)
                if complete:
                    _predict_round(ensemble, job, partial, complete, known, display)
                elif written != len(known) and time.monotonic() >= due:
                    started, written = time.monotonic(), len(known)
                    _write(partial, job)
                    due = time.monotonic() + (time.monotonic() - started) / SHARE
        except KeyboardInterrupt:
            display.line("")
        return PredictionTable(_write(partial, job), partial.counts())


def _predict_round(
    ensemble: Ensemble,
    job: PredictJob,
    partial: ResumableTable,
    complete: list[str],
    known: set[str],
    display: Display,
) -> None:
    paths = pl.Series("path", complete, pl.String)
    with display.counter("Predicting") as tick:
        for rows in answers(ensemble, job.images, paths, job, tick):
            arriving = {
                row["path"]
                for row in rows
                if row.get("error") and may_be_arriving(job.images / row["path"])
            }
            known -= arriving
            partial.add(row for row in rows if row["path"] not in arriving)


def _write(partial: ResumableTable, job: PredictJob) -> list[Path]:
    """Write the table, or the submission and its archive."""
    if job.layout == "full":
        partial.write()
        return [job.out]
    stem = pl.col("path").str.split("/").list.last().str.replace(r"\.[^.]*$", "")
    partial.write([stem.alias("image_name"), pl.col("label").alias("pred_label")])
    archive = job.out.with_name("solution.zip")
    with (
        atomic_path(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as solution,
    ):
        solution.write(job.out, "prediction.csv")
    return [job.out, archive]


class _Files(Sequence[ImageInput]):
    """Paths below a folder, made when they are asked for: a million of them would take memory."""

    def __init__(self, root: Root, paths: pl.Series) -> None:
        self.root, self.paths = root, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: Any) -> Any:
        return self.root / self.paths[row]


def answers(
    ensemble: Ensemble, root: Root, paths: pl.Series, job: PredictJob, tick: Tick | None = None
) -> Iterator[list[dict[str, Any]]]:
    """The rows of `paths` below `root`, batch by batch, in order; `tick` is told (done, of)."""
    for scored in ensemble.score(_Files(root, paths), tick):
        rows = []
        found = answer_batch(ensemble, scored, job.rule or ensemble.average, job.caution)
        for row, answer in zip(scored.rows, found, strict=True):
            reason = scored.reasons.get(int(row))
            rows.append(
                {
                    "path": paths[int(row)],
                    **(answer.columns() if reason is None else {"error": reason}),
                }
            )
        yield rows


def _check_names(paths: pl.Series) -> None:
    names: dict[str, str] = {}
    for path in paths:
        name = Path(path).stem
        if name in names:
            raise ArgumentError(
                f"--format submission: {names[name]} and {path} would both be {name!r}; "
                "rename one, or use --format full"
            )
        names[name] = path
