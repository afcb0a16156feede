"""The example predict_onnx.py: it runs an ONNX file without bestiary, with the same answers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_onnx.py"


@pytest.mark.slow
def test_example_runs_without_bestiary(
    exported: dict[str, Path],
    ensemble: Ensemble,
    images: list[Path],
    small: Run,
    beasts: Path,
    tmp_path: Path,
) -> None:
    assert (
        "import bestiary" not in EXAMPLE.read_text() and "from bestiary" not in EXAMPLE.read_text()
    )
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 32
    some = [str(path) for path in images[::3]]
    command = [sys.executable, str(EXAMPLE), str(exported["onnx"]), *some]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    # Pillow shrinks images slightly differently, so confidence differs in the third digit.
    expected = ensemble.predict_proba(some)
    assert [row[0] for row in rows] == some
    of_labels = expected[np.arange(len(some)), [small.read_classes().index(row[1]) for row in rows]]
    np.testing.assert_allclose(of_labels, expected.max(axis=1), atol=0.02)
    np.testing.assert_allclose([float(row[2]) for row in rows], expected.max(axis=1), atol=0.02)
    predicted = bestiary.predict(small.path, beasts, out=tmp_path / "p.csv", quiet=True).table
    same = 0
    for path, _, _, verdict in rows:
        answer = predicted.filter(path=Path(path).relative_to(beasts).as_posix()).row(0, named=True)
        if answer["unknown"]:
            expected_verdict = "unknown"
        else:
            expected_verdict = "accepted" if answer["accepted"] else answer["prediction_set"]
        same += sorted(verdict.split("|")) == sorted(expected_verdict.split("|"))
    assert same >= len(rows) - 1  # one may lie next to a threshold
