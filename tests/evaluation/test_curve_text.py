"""The verb `curve`: its table fits 80 columns, and it says why there is none."""

import shutil
from pathlib import Path

import pytest

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.errors import RunError
from bestiary.run.run import Run


@pytest.mark.slow
def test_curve_probes_and_prints(tmp_path: Path) -> None:
    draw_sample(tmp_path / "beasts", species=2, per_species=14, size=48)
    found = bestiary.curve(tmp_path / "beasts", tmp_path / "run", quiet=True)
    text = str(found)
    assert max(map(len, text.splitlines()[:-1])) <= 80  # the last one names the folder
    assert found.forecast.low <= found.forecast.value <= found.forecast.high
    assert {name for name, _, _ in found.by_class} == set(found.classes)
    assert "twice (forecast)" in text and "bestiary next" in text
    # The second time, the run is there.
    assert str(bestiary.curve(tmp_path / "beasts", tmp_path / "run", quiet=True)) == text


def test_curve_without_features(trained: Run, beasts: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained.path, tmp_path / "run")
    with pytest.raises(RunError, match="no curve can be made"):
        bestiary.curve(beasts, run, quiet=True)
