"""`Ensemble` and `predict`: inputs, probabilities, tables, submissions, damaged runs."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import bestiary
from bestiary.cli import main
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, ImageError, RunError
from bestiary.run.layout import RUN_FORMAT
from bestiary.run.run import Run
from bestiary.stats.averaging import average


@pytest.fixture(scope="module")
def ensemble(trained: Run) -> Ensemble:
    return bestiary.load(trained.path)


@pytest.fixture
def copy(trained: Run, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    return shutil.copytree(trained.path, tmp_path / "copy")


def images_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def test_predict_proba_of_paths_pil_and_arrays(ensemble: Ensemble, beasts: Path) -> None:
    paths = images_of(beasts)[:5]
    probabilities = ensemble.predict_proba(paths)
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    opened = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in opened]
    for same in ([str(path) for path in paths], opened, arrays):
        np.testing.assert_array_equal(ensemble.predict_proba(same), probabilities)


def test_predict_proba_of_one_image(ensemble: Ensemble, beasts: Path) -> None:
    path = images_of(beasts)[0]
    array = np.asarray(Image.open(path))
    for one in (path, str(path), Image.open(path), array, np.stack([array])):
        assert ensemble.predict_proba(one).shape == (1, 3)
    assert ensemble.predict(path)[0] in ensemble.classes_


def test_predict_is_argmax_of_predict_proba(ensemble: Ensemble, beasts: Path) -> None:
    paths = images_of(beasts)
    best = ensemble.predict_proba(paths).argmax(axis=1)
    assert ensemble.predict(paths).tolist() == ensemble.classes_[best].tolist()
    folders = [path.name for path in beasts.iterdir() if path.is_dir()]
    assert ensemble.classes_.tolist() == sorted(folders)


def test_predict_proba_of_no_images(ensemble: Ensemble) -> None:
    assert ensemble.predict_proba([]).shape == (0, 3)
    assert ensemble.predict([]).shape == (0,)


def test_predict_refuses_non_images(ensemble: Ensemble, tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("hello")
    with pytest.raises(ImageError, match=r"note.jpg: not an image"):
        ensemble.predict(tmp_path / "note.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        ensemble.predict([tmp_path / "missing.jpg"])
    with pytest.raises(ArgumentError, match="float64"):
        ensemble.predict([np.zeros((8, 8, 3))])
    with pytest.raises(ArgumentError, match="int"):
        ensemble.predict([7])  # type: ignore[list-item]


def test_batch_size_does_not_change_predictions(ensemble: Ensemble, beasts: Path) -> None:
    paths = images_of(beasts)
    together = ensemble.predict_proba(paths)
    alone = np.concatenate([ensemble.predict_proba(path) for path in paths])
    np.testing.assert_allclose(together, alone, atol=2e-2)  # bf16: other order of sums


def test_predict_full_table(trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path) -> None:
    out = tmp_path / "prediction.csv"
    result = bestiary.predict(trained.path, beasts, out=out, quiet=True)
    table = pl.read_csv(out)
    paths = images_of(beasts)
    assert table["path"].to_list() == [path.relative_to(beasts).as_posix() for path in paths]
    assert table["label"].to_list() == ensemble.predict(paths).tolist()
    ranked = np.sort(ensemble.predict_proba(paths), axis=1)[:, ::-1]
    confidences = table.select("confidence", "confidence_2", "confidence_3").to_numpy()
    np.testing.assert_allclose(confidences, ranked, atol=1e-9)
    assert table["label_4"].is_null().all()  # three classes have no fourth
    assert table["error"].is_null().all()
    shares = np.array([0, 1, 2, 3]) / 3
    assert np.isclose(table["member_agreement"].to_numpy()[:, None], shares).any(axis=1).all()
    assert result.exit_code == 0


def test_predict_average_option(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    paths = images_of(beasts)
    logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(paths)], axis=1)
    for rule in ("logits", "probabilities", "vote"):
        table = bestiary.predict(
            trained.path, beasts, out=tmp_path / f"{rule}.parquet", average=rule, quiet=True
        ).table
        calibrated = average(logits / ensemble.calibration.temperature, rule).max(axis=1)
        np.testing.assert_allclose(table["confidence"].to_numpy(), calibrated)
        assert pl.read_parquet(tmp_path / f"{rule}.parquet").equals(table)


def test_predict_sets_accepted_and_unknown(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    paths = images_of(beasts)
    logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(paths)], axis=1)
    probabilities = ensemble.predict_proba(paths)
    sizes = []
    for coverage in (0.8, 0.95):
        table = bestiary.predict(
            trained.path, beasts, out=tmp_path / f"{coverage}.csv", coverage=coverage, quiet=True
        ).table
        inside = ensemble.calibration.set_mask(probabilities, coverage)
        sets = [names.split("|") for names in table["prediction_set"]]
        assert [set(names) for names in sets] == [set(ensemble.classes_[mask]) for mask in inside]
        assert [names[0] for names in sets] == table["label"].to_list()
        assert (table["unknown"].to_numpy() == ensemble.ood.is_unknown(logits)).all()
        # 27 images are too few to show that any confidence errs in at most 5 %.
        assert not table["accepted"].any()
        sizes.append(inside.sum())
    assert sizes[0] <= sizes[1]


def test_predict_uncalibrated_run_without_sets(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[1], quiet=True)
    table = bestiary.predict(run.path, beasts, out=tmp_path / "p.csv", quiet=True).table
    assert table["confidence"].null_count() == 0
    assert table["prediction_set"].null_count() == table.height
    assert table["unknown"].null_count() == table.height


def test_submission_csv_and_zip(trained: Run, beasts: Path, tmp_path: Path) -> None:
    flat = tmp_path / "test"
    flat.mkdir()
    for path in images_of(beasts)[:4]:
        shutil.copy(path, flat / path.name)
    out = tmp_path / "prediction.csv"
    bestiary.predict(trained.path, flat, out=out, format="submission", quiet=True)
    lines = out.read_text().splitlines()
    assert lines[0] == "image_name,pred_label"
    assert [line.split(",")[0] for line in lines[1:]] == [
        path.stem for path in sorted(flat.iterdir())
    ]
    with zipfile.ZipFile(tmp_path / "solution.zip") as archive:
        assert archive.namelist() == ["prediction.csv"]
        assert archive.read("prediction.csv") == out.read_bytes()


def test_submission_refuses_name_clash(trained: Run, beasts: Path, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    source = images_of(beasts)[0]
    for name in ("a.jpg", "a.jpeg"):
        shutil.copy(source, tmp_path / name)
    line = fails(
        "predict", trained.path, tmp_path, "--out", tmp_path / "p.csv", "--format", "submission"
    )
    assert "1 of 2 images have the name of another" in line
    assert "(first a.jpg, of a.jpeg)" in line
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "a.jpg")
        shutil.copy(source, tmp_path / folder / "b.jpg")
    line = fails(
        "predict", trained.path, tmp_path, "--out", tmp_path / "p.csv", "--format", "submission"
    )
    assert "4 of 6 images" in line
    out = tmp_path / "x.csv"  # the remedies work
    arguments = ["--out", str(out), "--quiet"]
    submission = ["--format", "submission"]
    assert main(["predict", str(trained.path), str(tmp_path / "x"), *arguments, *submission]) == 0
    arguments = ["--out", str(tmp_path / "full.csv"), "--quiet"]
    assert main(["predict", str(trained.path), str(tmp_path), *arguments]) == 0


def test_unreadable_images_row_and_exit_code(
    trained: Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    whole = images_of(beasts)[0]
    shutil.copy(whole, folder / "whole.jpg")
    (folder / "half.jpg").write_bytes(whole.read_bytes()[:300])
    (folder / "empty.png").touch()
    out = tmp_path / "p.csv"
    assert main(["predict", str(trained.path), str(folder), "--out", str(out), "--quiet"]) == 1
    rows = {row["path"]: row for row in pl.read_csv(out).iter_rows(named=True)}
    assert (rows["half.jpg"]["label"], rows["half.jpg"]["confidence"]) == (None, None)
    assert rows["half.jpg"]["error"] == "truncated"
    assert rows["empty.png"]["error"] == "empty file"
    assert rows["whole.jpg"]["error"] is None
    alone = bestiary.predict(trained.path, whole, out=tmp_path / "alone.csv", quiet=True).table
    assert rows["whole.jpg"]["label"] == alone["label"][0]
    assert "2 could not be read" in capsys.readouterr().out
    out = tmp_path / "s.csv"
    command = ["predict", trained.path, folder, "--out", out, "--format", "submission", "--quiet"]
    assert main([str(word) for word in command]) == 1
    assert sorted(out.read_text().splitlines()[1:3]) == ["empty,", "half,"]


def test_load_run_with_some_folds(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[1], quiet=True)
    assert len(bestiary.load(run.path).members) == 1
    assert "1 of 3 folds" in str(run)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: (run / "ensemble.json").unlink(), "has no ensemble.json"),
        (lambda run: (run / "ensemble.json").write_text("{"), "cannot be read"),
        (lambda run: (run / "ensemble.json").write_text('{"format": 99}'), "update bestiary"),
        (
            lambda run: (run / "ensemble.json").write_text(json.dumps({"format": RUN_FORMAT})),
            "is not what bestiary writes",
        ),
        (lambda run: (run / "fold-1" / "weights.safetensors").unlink(), "fold-1"),
        (
            lambda run: (run / "fold-1" / "weights.safetensors").write_bytes(b"\x80\x04junk"),
            "not a whole member",
        ),
    ],
)
def test_load_names_damaged_file(copy: Path, damage, words: str) -> None:  # type: ignore[no-untyped-def]
    damage(copy)
    with pytest.raises(RunError, match=words):
        bestiary.load(copy)


def test_load_refuses_wrong_number_of_classes(copy: Path) -> None:
    card = json.loads((copy / "ensemble.json").read_text())
    card["classes"].append("yeti")
    (copy / "ensemble.json").write_text(json.dumps(card))
    with pytest.raises(RunError, match="3 outputs, not 4"):
        bestiary.load(copy)
