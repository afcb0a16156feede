"""`evaluate --out FOLDER`: every image, every class and the confusions of held-out images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.errors import ArgumentError
from bestiary.evaluation.held_out_results import HeldOutResults
from bestiary.evaluation.held_out_tables import class_frame, confusion_frame
from bestiary.run.run import Run


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, beasts: Path) -> Path:
    """New images of three species, one of which has another name; seen and broken ones."""
    folder = tmp_path_factory.mktemp("mixed") / "beasts"
    draw_sample(folder, species=3, per_species=13, size=48)
    training = {path.read_bytes(): path for path in beasts.rglob("*.jpg")}
    for path in folder.rglob("*.jpg"):
        if path.read_bytes() in training:
            path.unlink()
    first, second, _ = sorted(path for path in folder.iterdir() if path.is_dir())
    (first / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    original = sorted((beasts / first.name).glob("*.jpg"))[0]
    shutil.copy(original, first / "seen.jpg")
    with Image.open(sorted((beasts / second.name).glob("*.jpg"))[0]) as image:
        image.save(second / "near.png")
    second.rename(folder / "=another name")
    return folder


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_image_has_a_row(trained: Run, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    result = bestiary.evaluate(trained.path, mixed, out=out, quiet=True)
    rows = {row["path"].removeprefix("'"): row for row in read_csv(out / "images.csv")}
    files = [p.relative_to(mixed).as_posix() for p in mixed.rglob("*") if p.suffix != ".csv"]
    assert set(rows) == {file for file in files if "." in file}

    scored = [row for row in rows.values() if not row["left_out"]]
    hits = sum(row["label"] == row["answer"] for row in scored)
    assert len(scored) == result.scores["n"] == 8
    rule = trained.read_recipe().predict.average
    assert hits / len(scored) == result.scores["ensemble"][rule]["value"]
    assert all(0 < float(row["confidence"]) <= 1 and row["accepted"] for row in scored)

    left_out = {path: row["left_out"] for path, row in rows.items() if row["left_out"]}
    by_reason = {reason: list(left_out.values()).count(reason) for reason in left_out.values()}
    assert by_reason == {"seen_in_training": 1, "unknown_class": 5, "unreadable": 1}
    (broken,) = [row for row in rows.values() if row["left_out"] == "unreadable"]
    assert broken["error"] and not broken["answer"]
    (seen,) = [row for row in rows.values() if row["left_out"] == "seen_in_training"]
    assert seen["duplicate_of"].startswith(Path(seen["path"]).parent.name)
    foreign = [row for row in rows.values() if row["left_out"] == "unknown_class"]
    assert {row["label"] for row in foreign} == {"'=another name"}, "no formula in a spreadsheet"
    assert all(row["answer"] for row in foreign)
    assert json.loads((out / "scores.json").read_text()) == result.scores


def test_the_run_s_name_is_suggested_and_taken(trained: Run, mixed: Path, tmp_path: Path) -> None:
    result = bestiary.evaluate(trained.path, mixed, quiet=True)
    own = trained.read_classes()[1]
    assert result.scores["suggestions"] == {"=another name": {"name": own, "duplicates": 1}}
    assert "--map TABLE.csv, with the columns from,to" in str(result), "its name has a ="
    renamed = {"another name": result.scores["suggestions"].pop("=another name")}
    result.scores["suggestions"].update(renamed)
    assert f"--map 'another name={own}'" in str(result)

    table = tmp_path / "names.csv"
    pl.DataFrame({"from": ["=another name"], "to": [own]}).write_csv(table)
    mapped = bestiary.evaluate(trained.path, mixed, map=[str(table)], quiet=True).scores
    assert mapped["n"] == 12 and mapped["unknown_class"] == 0
    assert mapped["same_pixels"] + mapped["near_duplicate"] == 1
    with pytest.raises(ArgumentError, match="no image has the class 'another name'"):
        bestiary.evaluate(trained.path, mixed, map=[f"another name={own}"], quiet=True)


def test_tables_equal_scikit_learns(trained: Run, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    bestiary.evaluate(trained.path, mixed, out=out, quiet=True)
    scored = [row for row in read_csv(out / "images.csv") if not row["left_out"]]
    truth, answers = [[row[name] for row in scored] for name in ("label", "answer")]
    classes = trained.read_classes()
    matrix = read_csv(out / "confusion.csv")
    counts = [[int(row[name]) for name in classes] for row in matrix]
    assert counts == confusion_matrix(truth, answers, labels=classes).tolist()
    options = {"labels": classes, "average": None, "zero_division": 0}
    recalls, precisions, f1s = [
        score(truth, answers, **options) for score in (recall_score, precision_score, f1_score)
    ]
    for number, row in enumerate(read_csv(out / "classes.csv")):
        assert row["label"] == classes[number]
        assert float(row["recall"] or 0) == pytest.approx(recalls[number])
        assert float(row["precision"] or 0) == pytest.approx(precisions[number])
        assert float(row["f1"]) == pytest.approx(f1s[number])
        assert not row["recall"] or float(row["recall_low"]) <= float(row["recall"])


def test_class_without_images_has_empty_shares() -> None:
    one = np.zeros(3, np.int64)
    sure = np.array([[0.9, 0.1]] * 3)
    results = HeldOutResults(Path(), [], ["=a", "b"], one, np.arange(3), sure)
    table = class_frame(results)
    assert table["images"].to_list() == [3, 0] and table["recall"].to_list() == [1.0, None]
    assert confusion_frame(results).columns == ["label / answer", "'=a", "b"]
