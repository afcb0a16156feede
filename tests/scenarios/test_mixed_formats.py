"""Web images in awkward clothes (RGBA, palette, gray, wrong suffixes) train and predict without
a warning.
"""

from pathlib import Path

import pytest

import bestiary

IMAGES = Path(__file__).parents[3] / "shared" / "data" / "mixed-formats"


@pytest.mark.slow
@pytest.mark.skipif(not IMAGES.is_dir(), reason="../shared/data/mixed-formats is not here")
def test_mixed_formats_train_and_predict(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bestiary.train(IMAGES, tmp_path / "run", recipe=tiny, folds=2, only_fold=[0], quiet=True)
    predictions = bestiary.predict(run.path, IMAGES, out=tmp_path / "prediction.csv", quiet=True)
    assert predictions.exit_code == 0
    assert predictions.table.height == run.read_table("manifest.parquet").height == 154
    printed = capsys.readouterr().err
    assert "Unusable" not in printed
    assert "Warning" not in printed
