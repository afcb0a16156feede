"""A run -> what others get of it: the files to upload, how large they are, and what they tell.

A run has images only in its pages, and none of these is shared unless that is asked for. Its tables
name each image, and may say when and where it was taken. Uploads nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.errors import ArgumentError
from bestiary.numbers import count
from bestiary.printable import printable_name, shell_name
from bestiary.run.fields import carried_columns
from bestiary.run.layout import MANIFEST, REPORTS, FoldFiles, is_shared
from bestiary.run.run import Run, RunSnapshot

MAX_COLUMNS = 8  # that the sentence on the manifest names
POSITION = ("lat", "lon")
WEIGHTS = FoldFiles(Path()).weights.name


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The files of a run that others get.

    Attributes:
        files: path in the run -> file, sorted.
        images: number of images that the tables name.
        columns: what the manifest tells of each image besides its path and label.
        positions: number of images whose position it tells.
        members: number of members.
        has_report: whether the report, with thumbnails of images, is among the files.
    """

    files: dict[str, Path]
    images: int
    columns: list[str]
    positions: int
    members: int
    has_report: bool

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def sentences(self) -> list[str]:
        """Say what is uploaded and what is not, a line each."""
        shown = [printable_name(name) for name in self.columns[:MAX_COLUMNS]]
        if len(self.columns) > MAX_COLUMNS:
            shown.append(f"{len(self.columns) - MAX_COLUMNS} more columns")
        told = ", ".join(["path", "label", *shown])
        lines = [
            f"{count(len(self.files), 'file')}, {self.n_bytes / 1e6:,.1f} MB: "
            f"{count(self.members, 'member')}, recipe, tables, scores, model card",
            f"{MANIFEST} tells of {count(self.images, 'image')}: {told}",
        ]
        if self.has_report:
            lines.append(f"{REPORTS['html']}, which shows thumbnails of your images")
        else:
            lines.append(
                "No image and no thumbnail (--with-report adds the report, which has some)"
            )
        return lines


def shared_files(snapshot: RunSnapshot, *, with_report: bool) -> SharedFiles:
    """List the files of a finished run that others need to use and judge it.

    Args:
        snapshot: of the run.
        with_report: whether the report is among them.

    Returns:
        The files.

    Raises:
        RunError: a fold has not ended.
        ArgumentError: the report is asked for, and there is none.
    """
    snapshot.check_ended()
    run = snapshot.run
    files = _files(run)
    if with_report:
        name = REPORTS["html"]
        if not run.file(name).is_file():
            raise ArgumentError(
                f"--with-report: {printable_name(run.place)} has no report; make it by bestiary "
                f"report {shell_name(run.place)}"
            )
        files[name] = run.file(name)
    manifest = snapshot.manifest
    return SharedFiles(
        files=dict(sorted(files.items())),
        images=manifest.height,
        columns=carried_columns(manifest.columns),
        positions=_positions(manifest),
        members=sum(name.endswith(WEIGHTS) for name in files),
        has_report=with_report,
    )


def _files(run: Run) -> dict[str, Path]:
    paths = (file.relative_to(run.path).as_posix() for file in run.path.rglob("*"))
    return {path: run.file(path) for path in paths if is_shared(path) and run.file(path).is_file()}


def _positions(manifest: pl.DataFrame) -> int:
    """Count the images with a position."""
    if not set(POSITION) <= set(manifest.columns):
        return 0
    return manifest.select(pl.all_horizontal(pl.col(POSITION).is_not_null()).sum()).item() or 0
