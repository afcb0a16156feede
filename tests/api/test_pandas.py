"""Frames of runs and ensembles are frames of pandas after `.to_pandas()`, with the same values."""

from pathlib import Path

import polars as pl
import pytest

import bestiary
from bestiary.api.run import Run
from bestiary.run import run as directory


@pytest.fixture(scope="module")
def needs_pandas() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed (extra `pandas`)")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra `pandas`)")


def check_same(frame: pl.DataFrame) -> None:
    converted = frame.to_pandas()
    assert list(converted.columns) == frame.columns
    assert len(converted) == frame.height > 0
    for name in frame.columns:
        for value, expected in zip(converted[name], frame[name], strict=True):
            if isinstance(expected, pl.Series):
                assert list(value) == expected.to_list()
            elif expected is None:
                assert value is None or value != value, name  # None, or NaN
            else:
                assert value == expected, name


@pytest.mark.usefixtures("needs_pandas")
@pytest.mark.parametrize("name", ["history", "oof", "scores", "confusion"])
def test_frames_of_a_run(name: str, trained: directory.Run) -> None:
    check_same(getattr(Run.of(trained), name))


@pytest.mark.usefixtures("needs_pandas")
def test_predicted_frame(trained: directory.Run, beasts: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"x")
    images = [*sorted(beasts.rglob("*.jpg"))[:3], broken]
    frame = bestiary.load(trained.path).predict_frame(images, quiet=True)
    assert frame["error"].null_count() == 3
    check_same(frame)


@pytest.mark.usefixtures("needs_pandas")
def test_accuracy_is_the_mean_in_pandas(trained: directory.Run) -> None:
    run = Run.of(trained)
    right = run.oof.to_pandas().groupby("label")["right"].mean()
    assert right.mean() == pytest.approx(run.oof["right"].mean())  # as many images of each class
