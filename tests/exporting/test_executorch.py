"""ExecuTorch files against the network; skipped where the extra `executorch` is not installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.executorch_file import open_executorch
from bestiary.exporting.formats import read_card
from bestiary.run.run import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_executorch.py"


@pytest.mark.slow
def test_executorch_agrees_with_network(
    small: Run, ensemble: Ensemble, images: list[Path], views: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("executorch", reason="executorch is not installed (extra executorch)")
    file = tmp_path / "m.pte"
    made = bestiary.export(small.path, file, format="executorch", quiet=True)
    assert read_card(file) == made.card and made.card["input"]["shape"] == [1, 32, 32, 3]
    labels = zipfile.ZipFile(file).read("labels.txt").decode().splitlines()
    assert labels == ensemble.classes_.tolist()
    outputs = open_executorch(file, "float32")(views)
    np.testing.assert_allclose(outputs.probabilities, ensemble.predict_proba(images), atol=1e-5)
    # One image's answer is not another one's memory.
    assert len(np.unique(outputs.energy)) > 1
    some = [str(path) for path in images[::3]]
    command = [sys.executable, str(EXAMPLE), str(file), *some]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    confidence = [float(row[2]) for row in rows]
    np.testing.assert_allclose(confidence, ensemble.predict_proba(some).max(axis=1), atol=0.02)
