"""Whole verbs on what others have: several images, tables, twelve bits, classes that are new."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import bestiary
from bestiary.cli import main
from bestiary.data.split_words import TEST
from bestiary.run.run import Run

Fails = Callable[..., str]


@pytest.fixture
def images(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))


def labels(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.select("path", "label").iter_rows())


def test_several_images_on_the_command_line(
    trained: Run, images: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "p.csv"
    chosen = [str(path) for path in images[:3]] + [str(images[-1])]
    assert main(["predict", str(trained.path), *chosen, "--out", str(out), "--quiet"]) == 0
    by_list = bestiary.predict(trained.path, images[:3], out=tmp_path / "q.csv", quiet=True)
    table = pl.read_csv(out)
    assert table.height == 4
    names = {Path(path).name: label for path, label in labels(table).items()}
    assert {Path(path).name for path in labels(by_list.table)} < set(names)
    for path, label in labels(by_list.table).items():
        assert names[Path(path).name] == label


def test_a_table_of_paths(trained: Run, images: list[Path], tmp_path: Path, fails: Fails) -> None:
    root = images[0].parents[1]
    paths = [path.relative_to(root).as_posix() for path in images[:4]]
    file = tmp_path / "test.csv"
    pl.DataFrame({"path": paths, "id": range(4)}).write_csv(file)
    message = fails("predict", trained.path, file, "--out", tmp_path / "p.csv")
    assert "none of its 4 files" in message and "--set data.root=FOLDER" in message
    result = bestiary.predict(
        trained.path, file, out=tmp_path / "p.csv", overrides=[f"data.root={root}"], quiet=True
    )
    assert result.table["path"].to_list() == sorted(paths)
    assert not result.table["error"].is_not_null().any()


def test_predict_gives_every_image_its_row(
    trained: Run, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(images[0], folder / "no_suffix")
    Image.open(images[1]).save(folder / "a.avif")
    Image.open(images[1]).save(folder / "a.jp2")
    (folder / "raw.nef").write_bytes(b"MM\0*")
    (folder / "cut.jpg").write_bytes(images[2].read_bytes()[:500])
    (folder / "notes.txt").write_text("words")
    result = bestiary.predict(trained.path, folder, out=tmp_path / "p.csv")
    rows = {path: error for path, error in result.table.select("path", "error").iter_rows()}
    assert rows == {
        "a.avif": None,
        "a.jp2": None,
        "cut.jpg": "truncated",
        "no_suffix": None,
        "raw.nef": "a camera's raw file: convert it to PNG or JPEG",
    }
    assert "1 ignored (1 of other kinds (1 .txt))" in capsys.readouterr().err


def test_a_submission_has_names_as_they_are(
    trained: Run, images: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for name in ("-dash.jpg", "=sum.jpg", "plain.jpg"):
        shutil.copy(images[0], folder / name)
    out = tmp_path / "prediction.csv"
    bestiary.predict(trained.path, folder, out=out, format="submission", quiet=True)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["image_name", "-dash", "=sum", "plain"]


def test_evaluate_names_what_it_leaves_out(
    trained: Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sorted(path for path in beasts.iterdir() if path.is_dir())[0]
    rng = np.random.default_rng(0)
    for label in (first.name, "zebra", "yak"):
        (tmp_path / "new" / label).mkdir(parents=True)
        for number in range(2 if label == "zebra" else 1):
            noise = rng.integers(0, 255, (9, 12, 3), np.uint8)
            image = Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC)
            image.save(tmp_path / "new" / label / f"{number}.png")
    (tmp_path / "new" / first.name / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    evaluation = bestiary.evaluate(trained.path, tmp_path / "new")
    text = str(evaluation)
    assert "3 images left out: the run has no such class (2 'zebra', 1 'yak')" in text
    assert "2 classes have no image" in text
    printed = capsys.readouterr().err
    assert "Layout: each folder is a class" in printed
    assert "Files: 5 = 4 images + 1 unusable" in printed


def test_evaluate_takes_splits_and_options_as_scan_does(
    trained: Run, images: list[Path], tmp_path: Path, fails: Fails
) -> None:
    """The test split is scored; labels of the two verbs come from the same listing."""
    rng = np.random.default_rng(1)
    for folder in ("train", TEST):
        for label in sorted({path.parent.name for path in images}):
            (tmp_path / "new" / folder / label).mkdir(parents=True)
            noise = rng.integers(0, 255, (9, 12, 3), np.uint8)
            image = Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC)
            image.save(tmp_path / "new" / folder / label / "0.png")
    data = tmp_path / "new"
    assert bestiary.evaluate(trained.path, data, quiet=True).scores["n"] == 6
    assert bestiary.scan(data, quiet=True).test.height == 3
    (data / "extra").mkdir()
    shutil.copy(images[0], data / "extra")
    for verb in (["scan"], ["evaluate", trained.path]):
        assert "can be read in two ways" in fails(*verb, data)
        remedy = ["--set", "data.layout=split/class"]
        assert main([*map(str, verb), str(data), *remedy, "--quiet"]) in (0, 1)
    assert "does not matter here" in fails("scan", data, "--set", "view.size=32")


def test_twelve_bits_are_seen_alike_by_all_verbs(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two kinds of gray, in files of 16 bits that do not say that a camera has 12."""
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    for label, level in (("dark", 500), ("light", 3000)):
        (data / label).mkdir(parents=True)
        for number in range(8):
            values = np.clip(rng.normal(level, 300, (40, 40)), 0, 4095).astype(np.uint16)
            Image.fromarray(values).save(data / label / f"{number}.tif")
    run = bestiary.train(data, tmp_path / "run", recipe=tiny, folds=2, quiet=True)
    assert run.read_recipe().view.white_level == 4095
    ensemble = bestiary.load(run)
    assert ensemble.view.white_level == 4095

    file = data / "light" / "0.tif"
    pixels = ensemble.view.decode(file.read_bytes())
    assert 150 < pixels.mean() < 220  # 3000 of 4095, not of 65535
    as_array = ensemble.predict_proba([pixels])
    assert np.allclose(ensemble.predict_proba([file]), as_array)
    with Image.open(file) as image:
        assert np.allclose(ensemble.predict_proba([image]), as_array)

    bestiary.predict(run.path, data / "dark", out=tmp_path / "p.csv")
    printed = capsys.readouterr().err
    assert "8 images do not say what white is; as in training, it is 4095 in integers" in printed
    dim = np.full((40, 40), 300, np.uint16)
    Image.fromarray(dim).save(data / "dark" / "8.tif")
    bestiary.predict(run.path, data / "dark" / "8.tif", out=tmp_path / "q.csv")
    assert "Dark: 1 of them use less than an eighth" in capsys.readouterr().err
