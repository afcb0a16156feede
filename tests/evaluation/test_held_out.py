"""`evaluate` on held-out images, and `show`, on a small run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.run.run import Run
from bestiary.stats.averaging import AVERAGES, average


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory, beasts: Path) -> Path:
    """New images of the same three species: the numbers 9 to 12 of each."""
    folder = tmp_path_factory.mktemp("unseen") / "beasts"
    draw_sample(folder, species=3, per_species=13, size=48)
    training = {path.read_bytes() for path in beasts.rglob("*.jpg")}
    for path in folder.rglob("*.jpg"):
        if path.read_bytes() in training:
            path.unlink()
    return folder


def test_held_out_accuracy_is_scikit_learns(trained: Run, unseen: Path, tmp_path: Path) -> None:
    result = bestiary.evaluate(trained.path, unseen, out=tmp_path / "scores.json", quiet=True)
    ensemble = Ensemble.load(trained)
    paths = sorted(unseen.rglob("*.jpg"))
    truth = [path.parent.name for path in paths]
    logits = next(iter(ensemble.iter_logits(paths))).logits
    assert result.scores["n"] == len(paths) == 12
    for rule in AVERAGES:
        labels = ensemble.classes_[average(logits, rule).argmax(axis=1)]
        assert result.scores["ensemble"][rule]["value"] == accuracy_score(truth, labels)
    for member, row in zip(logits, result.scores["members"], strict=True):
        assert row["value"] == accuracy_score(truth, ensemble.classes_[member.argmax(axis=1)])
    assert json.loads((tmp_path / "scores.json").read_text()) == result.scores
    for words in ("ensemble, logits", "member of fold 2", "mean member"):
        assert words in str(result)


def test_training_images_are_left_out(
    trained: Run, unseen: Path, beasts: Path, tmp_path: Path
) -> None:
    both = shutil.copytree(unseen, tmp_path / "both")
    for path in beasts.rglob("*.jpg"):
        shutil.copy(path, both / path.parent.name / f"seen-{path.name}")
    scores = bestiary.evaluate(trained.path, both, quiet=True).scores
    assert (scores["n"], scores["seen_in_training"]) == (12, 27)
    expected = bestiary.evaluate(trained.path, unseen, quiet=True).scores
    assert scores["ensemble"] == expected["ensemble"]


def test_both_accuracies_are_told(trained: Run, unseen: Path, beasts: Path, tmp_path: Path) -> None:
    both = shutil.copytree(unseen, tmp_path / "both")
    for path in beasts.rglob("*.jpg"):
        shutil.copy(path, both / path.parent.name / f"seen-{path.name}")
    result = bestiary.evaluate(trained.path, both, quiet=True)
    with_seen = result.scores["with_seen"]
    assert (with_seen["n"], with_seen["n_seen"]) == (39, 27)

    paths = sorted(both.rglob("*.jpg"))
    ensemble = Ensemble.load(trained)
    logits = np.concatenate([batch.logits for batch in ensemble.iter_logits(paths)], axis=1)
    truth = [path.parent.name for path in paths]
    for rule in AVERAGES:
        labels = ensemble.classes_[average(logits, rule).argmax(axis=1)]
        value = with_seen["ensemble"][rule]["value"]
        assert value == pytest.approx(accuracy_score(truth, labels))
    text = str(result)
    assert "12 images of 3 classes, none seen in training" in text
    assert "with seen" in text
    assert "on all 39, of which the run has seen 27" in text


def test_one_accuracy_where_nothing_was_seen(trained: Run, unseen: Path) -> None:
    result = bestiary.evaluate(trained.path, unseen, quiet=True)
    assert result.scores["with_seen"] is None
    assert "with seen" not in str(result)


def test_near_duplicates_of_training_are_left_out(
    trained: Run, unseen: Path, beasts: Path, tmp_path: Path
) -> None:
    both = shutil.copytree(unseen, tmp_path / "both")
    originals = sorted(beasts.rglob("*.jpg"))[:4]
    names = [path.relative_to(beasts).as_posix() for path in originals]
    for path, name in zip(originals, names, strict=True):
        same = both / Path(name).with_suffix(".png")
        near = both / Path(name).with_stem(f"{path.stem}-near")
        with Image.open(path) as image:
            image.save(same)
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((96, 72)).save(near, quality=60)
    result = bestiary.evaluate(trained.path, both, quiet=True)
    scores = result.scores
    counts = {key: scores[key] for key in ("seen_in_training", "same_pixels", "near_duplicate")}
    assert scores["n"] == 12
    assert counts == {"seen_in_training": 0, "same_pixels": 4, "near_duplicate": 4}
    originals_of = {(row["path"], row["kind"]): row["original"] for row in scores["recognized"]}
    for name in names:
        assert originals_of[str(Path(name).with_suffix(".png")), "same_pixels"] == name
    near = f"{names[0].removesuffix('.jpg')}-near.jpg of {names[0]}"
    words = "4 images left out: near duplicates of images that the run was trained on ("
    assert words in str(result)
    assert near in str(result)
    assert str(result).endswith(" ...)")
    expected = bestiary.evaluate(trained.path, unseen, quiet=True).scores
    assert scores["ensemble"] == expected["ensemble"]


@pytest.mark.slow
def test_near_duplicates_without_data_folder_or_cache(
    beasts: Path, tiny: Path, unseen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(beasts, tmp_path / "data", ignore=shutil.ignore_patterns("truth.csv"))
    run = bestiary.train(data, tmp_path / "run", recipe=tiny, folds=3, only_fold=[0], quiet=True)
    both = shutil.copytree(unseen, tmp_path / "both")
    original = sorted(data.rglob("*.jpg"))[0]
    with Image.open(original) as image:
        image.save(both / original.parent.name / "near.jpg", quality=50)
    for cache, gone, near in (("one", 0, 1), ("other", 27, 0)):
        # A new cache: a machine that has not read the images before
        monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / cache))
        result = bestiary.evaluate(run.path, both, quiet=True)
        assert (result.scores["gone"], result.scores["near_duplicate"]) == (gone, near)
        assert ("27 images of the run are gone" in str(result)) == bool(gone)
        shutil.rmtree(data, ignore_errors=True)


def test_evaluate_refuses_training_images_only(trained: Run, beasts: Path) -> None:
    with pytest.raises(DataError, match="the run was trained on them"):
        bestiary.evaluate(trained.path, beasts, quiet=True)


def test_unknown_class_and_unreadable_are_counted(
    trained: Run, unseen: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(unseen, tmp_path / "odd")
    source = next(unseen.rglob("*.jpg"))
    (folder / "yeti").mkdir()
    shutil.copy(source, folder / "yeti" / "a.jpg")
    (folder / source.parent.name / "broken.jpg").write_bytes(source.read_bytes()[:100])
    result = bestiary.evaluate(trained.path, folder, quiet=True)
    assert result.scores["n"] == 12
    assert result.scores["unknown_class"] == 1
    assert result.scores["unreadable"] == 1
    assert result.exit_code == 1
    assert "1 images left out: the run has no such class" in str(result)


def test_show_progress_of_folds(trained: Run, beasts: Path, tiny: Path, tmp_path: Path) -> None:
    text = str(bestiary.show(trained.path))
    assert "27 images of 3 classes, 3 folds" in text
    assert "fold 2: ended, 2 of 2\xa0epochs, accuracy" in text
    assert str(trained.score_line) in text
    assert f"bestiary report {trained.path}" in text.partition("What next:")[2]
    run = bestiary.train(beasts, tmp_path / "part", recipe=tiny, folds=3, only_fold=[2], quiet=True)
    text = str(bestiary.show(run.path))
    assert "folds 0 to 1: not begun, 0 of 2\xa0epochs\nfold 2: ended" in text
    assert "1 of 3 folds ended" in text
    assert "--resume" in text
