"""Charts that a run leaves behind: whole files, a summary as an image, and a run that goes on."""

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bestiary.api.train_steps import _finish
from bestiary.display import Display
from bestiary.errors import BestiaryError
from bestiary.evaluation.results import read_results
from bestiary.reporting import figure_files
from bestiary.reporting.drawing import HIT, Drawing
from bestiary.reporting.figure_files import write_figures
from bestiary.reporting.raster import png
from bestiary.run.run import Run


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(trained.path, tmp_path / "run")))


def test_training_leaves_charts(trained: Run) -> None:
    names = {file.name for file in (trained.path / "figures").iterdir()}
    assert {"summary.png", "summary.svg", "weakest-classes.svg", "weakest-classes.csv"} <= names
    with Image.open(trained.path / "figures" / "summary.png") as image:
        assert image.width == 2400


def test_charts_are_the_same_twice(run: Run) -> None:
    first = [file.read_bytes() for file in write_figures(read_results(run))]
    assert first == [file.read_bytes() for file in write_figures(read_results(run))]


def test_charts_that_fail_cost_no_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> list[Path]:
        raise BestiaryError("no space left")

    monkeypatch.setattr(figure_files, "write_figures", fail)
    _finish(run, Display())
    assert "The charts are left out: no space left" in capsys.readouterr().err


def test_image_has_what_is_drawn() -> None:
    drawing = Drawing(100, 50, "title")
    drawing.box(10, 10, 20, 20, HIT)
    drawing.dot(70, 25, 10, HIT, ring=True)
    drawing.line([(0, 45), (100, 45)], HIT, dashed=True)
    drawing.words(95, 40, "upright", upright=True, halo=True, bold=True)
    with Image.open(BytesIO(png(drawing))) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (100, 200, 3)
    assert tuple(pixels[40, 40]) == (0, 0x72, 0xB2)
    assert tuple(pixels[50, 140]) == (255, 255, 255)  # inside the ring
    assert (pixels[:, 170:] < 200).any()
