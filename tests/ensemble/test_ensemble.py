"""An ensemble in use: scikit-learn's verbs, tables of predictions, images that cannot be read."""

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


def test_paths_pil_images_and_arrays_give_the_same(ensemble: Ensemble, beasts: Path) -> None:
    paths = images_of(beasts)[:5]
    chances = ensemble.predict_proba(paths)
    assert chances.shape == (5, 3)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    opened = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in opened]
    for same in ([str(path) for path in paths], opened, arrays):
        np.testing.assert_array_equal(ensemble.predict_proba(same), chances)


def test_one_image_is_as_good_as_a_list(ensemble: Ensemble, beasts: Path) -> None:
    path = images_of(beasts)[0]
    array = np.asarray(Image.open(path))
    for one in (path, str(path), Image.open(path), array, np.stack([array])):
        assert ensemble.predict_proba(one).shape == (1, 3)
    assert ensemble.predict(path)[0] in ensemble.classes_


def test_predict_is_the_class_of_the_highest_probability(ensemble: Ensemble, beasts: Path) -> None:
    paths = images_of(beasts)
    chances = ensemble.predict_proba(paths)
    assert ensemble.predict(paths).tolist() == ensemble.classes_[chances.argmax(axis=1)].tolist()
    assert ensemble.classes_.tolist() == sorted(
        path.name for path in beasts.iterdir() if path.is_dir()
    )


def test_no_images_give_no_rows(ensemble: Ensemble) -> None:
    assert ensemble.predict_proba([]).shape == (0, 3)
    assert ensemble.predict([]).shape == (0,)


def test_what_is_not_an_image_is_refused(ensemble: Ensemble, tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("hello")
    with pytest.raises(ImageError, match=r"note.jpg: not an image"):
        ensemble.predict(tmp_path / "note.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        ensemble.predict([tmp_path / "missing.jpg"])
    with pytest.raises(ArgumentError, match="float64"):
        ensemble.predict([np.zeros((8, 8, 3))])
    with pytest.raises(ArgumentError, match="int"):
        ensemble.predict([7])  # type: ignore[list-item]


def test_batches_do_not_change_what_an_image_gets(ensemble: Ensemble, beasts: Path) -> None:
    paths = images_of(beasts)
    together = ensemble.predict_proba(paths)
    alone = np.concatenate([ensemble.predict_proba(path) for path in paths])
    np.testing.assert_allclose(together, alone, atol=2e-2)  # bf16 sums in another order


def test_full_table_has_a_row_for_every_image(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "prediction.csv"
    result = bestiary.predict(trained.path, beasts, out=out, quiet=True)
    table = pl.read_csv(out)
    paths = images_of(beasts)
    assert table["path"].to_list() == [path.relative_to(beasts).as_posix() for path in paths]
    assert table["label"].to_list() == ensemble.predict(paths).tolist()
    chances = np.sort(ensemble.predict_proba(paths), axis=1)[:, ::-1]
    np.testing.assert_allclose(
        table.select("confidence", "confidence_2", "confidence_3").to_numpy(), chances, atol=1e-9
    )
    assert table["label_4"].is_null().all()  # three classes have no fourth
    assert table["error"].is_null().all()
    shares = np.array([0, 1, 2, 3]) / 3
    assert np.isclose(table["member_agreement"].to_numpy()[:, None], shares).any(axis=1).all()
    assert result.exit_code == 0


def test_average_chooses_the_rule(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    paths = images_of(beasts)
    logits = np.concatenate([scored.logits for scored in ensemble.score(paths)], axis=1)
    for rule in ("logits", "probabilities", "vote"):
        table = bestiary.predict(
            trained.path, beasts, out=tmp_path / "p.parquet", average=rule, quiet=True
        ).table
        calibrated = average(logits / ensemble.calibration.temperature, rule).max(axis=1)
        np.testing.assert_allclose(table["confidence"].to_numpy(), calibrated)
        assert pl.read_parquet(tmp_path / "p.parquet").equals(table)


def test_sets_sure_and_unknown_are_in_the_table_as_asked_for(
    trained: Run, ensemble: Ensemble, beasts: Path, tmp_path: Path
) -> None:
    logits = np.concatenate([scored.logits for scored in ensemble.score(images_of(beasts))], axis=1)
    probabilities = ensemble.predict_proba(images_of(beasts))
    sizes = []
    for coverage in (0.8, 0.95):
        table = bestiary.predict(
            trained.path, beasts, out=tmp_path / "p.csv", coverage=coverage, quiet=True
        ).table
        held = ensemble.calibration.set_of(probabilities, coverage)
        assert [set(names.split("|")) for names in table["prediction_set"]] == [
            set(ensemble.classes_[row]) for row in held
        ]
        assert all(
            names.split("|")[0] == label
            for names, label in table.select("prediction_set", "label").iter_rows()
        )
        assert (table["unknown"].to_numpy() == ensemble.known.is_unknown(logits)).all()
        assert not table[
            "accepted"
        ].any()  # 27 images show of no confidence that it errs in 5 % at most
        sizes.append(held.sum())
    assert sizes[0] <= sizes[1]


def test_a_run_that_is_not_calibrated_predicts_without_sets(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[1], quiet=True)
    table = bestiary.predict(run.path, beasts, out=tmp_path / "p.csv", quiet=True).table
    assert table["confidence"].null_count() == 0
    assert table["prediction_set"].null_count() == table["unknown"].null_count() == table.height


def test_submission_is_exactly_what_the_described_system_hands_in(
    trained: Run, beasts: Path, tmp_path: Path
) -> None:
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


def test_submission_refuses_names_that_clash(
    trained: Run, beasts: Path, tmp_path: Path, fails
) -> None:  # type: ignore[no-untyped-def]
    source = images_of(beasts)[0]
    for name in ("a.jpg", "a.jpeg"):
        shutil.copy(source, tmp_path / name)
    line = fails(
        "predict", trained.path, tmp_path, "--out", tmp_path / "p.csv", "--format", "submission"
    )
    assert "a.jpeg" in line
    assert "a.jpg" in line


def test_unreadable_images_have_their_row_and_the_status_says_so(
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
    assert (
        main(
            [
                "predict",
                str(trained.path),
                str(folder),
                "--out",
                str(out),
                "--format",
                "submission",
                "--quiet",
            ]
        )
        == 1
    )
    assert sorted(out.read_text().splitlines()[1:3]) == ["empty,", "half,"]


def test_a_run_with_some_folds_predicts_with_those(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
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
            lambda run: (run / "ensemble.json").write_text('{"format": 1}'),
            "not of bestiary's making",
        ),
        (lambda run: (run / "fold-1" / "weights.safetensors").unlink(), "fold-1"),
        (
            lambda run: (run / "fold-1" / "weights.safetensors").write_bytes(b"\x80\x04junk"),
            "not a whole member",
        ),
    ],
)
def test_a_damaged_run_is_named(copy: Path, damage, words: str) -> None:  # type: ignore[no-untyped-def]
    damage(copy)
    with pytest.raises(RunError, match=words):
        bestiary.load(copy)


def test_classes_that_do_not_fit_the_members_are_refused(copy: Path) -> None:
    card = json.loads((copy / "ensemble.json").read_text())
    card["classes"].append("yeti")
    (copy / "ensemble.json").write_text(json.dumps(card))
    with pytest.raises(RunError, match="3 outputs, not 4"):
        bestiary.load(copy)
