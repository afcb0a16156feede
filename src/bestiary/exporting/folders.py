"""A run -> a folder that others open or serve: a page that classifies, or a model for a server.

All hold the ONNX file that `bestiary.exporting.export` writes and compares. The folder is built
under a temporary name, and gets its own when it is complete.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bestiary.atomic import write_errors
from bestiary.display import Display
from bestiary.errors import ArgumentError, BestiaryError
from bestiary.exporting.export import ExportOptions, export_run
from bestiary.exporting.mlflow_model import mlflow_model
from bestiary.exporting.result import ExportResult
from bestiary.exporting.triton import triton_repository
from bestiary.exporting.web_page import web_page
from bestiary.recipe.choices import ExportFormat
from bestiary.run.run import Run

MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """A format that is a folder around an ONNX file.

    Attributes:
        build: moves the file into a folder and adds what else belongs there; takes the file, the
            folder, what is known of the export, the run's name and the display.
        prefers_int8: whether int8 is tried where the user says nothing, since size counts.
    """

    build: Callable[[Path, Path, ExportResult, str, Display], None]
    prefers_int8: bool = False


FOLDER_FORMATS: dict[ExportFormat, FolderFormat] = {
    "web": FolderFormat(web_page, prefers_int8=True),
    "triton": FolderFormat(triton_repository),
    "mlflow": FolderFormat(mlflow_model),
}


def export_folder(
    run: Run,
    out: Path,
    format: ExportFormat,
    asked: ExportOptions,
    display: Display,
) -> ExportResult:
    """Write the ensemble of a run as a folder; arguments as for `export_run`.

    Returns:
        All files of the folder, and the card.

    Raises:
        ArgumentError: `out` exists, or options contradict each other or the run.
        BestiaryError: as for `export_run`, or what the folder needs cannot be had.
    """
    chosen = FOLDER_FORMATS[format]
    with _new_folder(out) as (folder, work):
        file = work / MODEL

        def write(int8: bool) -> ExportResult:
            return export_run(run, file, "onnx", replace(asked, int8=int8), display)

        is_tried = chosen.prefers_int8 and asked.int8 is None and not asked.float16
        exported = _smaller(write, display) if is_tried else None
        exported = exported or write(bool(asked.int8))
        chosen.build(file, folder, exported, run.name, display)
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return replace(exported, files=[out / name for name in names], folder=out)


def _smaller(write: Callable[[bool], ExportResult], display: Display) -> ExportResult | None:
    """Try int8, which nobody has asked for; None, and a line, where it cannot be had."""
    try:
        return write(True)
    except BestiaryError as error:
        display.notice(f"The networks stay in float32, since int8 cannot be had: {error}")
        return None


@contextmanager
def _new_folder(out: Path) -> Iterator[tuple[Path, Path]]:
    """Give a new folder and a place to work in; if the block ends well, the folder becomes `out`.

    Raises:
        ArgumentError: `out` exists.
    """
    _check_free(out)
    with write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".tmp"
        ) as temporary:
            folder = Path(temporary) / "folder"
            work = Path(temporary) / "work"
            folder.mkdir()
            work.mkdir()
            yield folder, work
            _check_free(out)
            os.replace(folder, out)


def _check_free(out: Path) -> None:
    if out.exists():
        raise ArgumentError(
            f"{out}: exists already, and nothing is overwritten; choose another folder"
        )
