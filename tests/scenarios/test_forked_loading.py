"""Training and prediction with forked processes that make the views, as on a GPU: the same bits."""

import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import bestiary
from bestiary.data import loader
from bestiary.data.loader import LoaderThreads
from bestiary.ensemble import pipeline
from bestiary.run.run import Run
from bestiary.training import dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux"),
]


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets two processes prefetch, as a GPU's loader does; lists the forks of this process."""

    def two(_device: str, _processes: int = 1, *, can_inherit: bool = False) -> LoaderThreads:
        return LoaderThreads(2, prefetch=True, forked=can_inherit)

    fork = os.fork
    forked: list[int] = []

    def noted() -> int:
        pid = fork()
        forked.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", noted)
    monkeypatch.setattr(loader, "MIN_FORKED_IMAGES", 1)
    monkeypatch.setattr(dataset, "loader_threads", two)
    monkeypatch.setattr(pipeline, "loader_threads", two)
    return forked


@pytest.mark.parametrize("switch", ["data.store=true", "data.store=false", "predict.tta=5"])
def test_training_gives_the_same_bits(
    switch: str, beasts: Path, tiny: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def train(name: str) -> Run:
        options: dict[str, Any] = {"folds": 3, "only_fold": [0], "quiet": True}
        return bestiary.train(
            beasts, tmp_path / name, recipe=tiny, overrides=[switch, "train.threads=2"], **options
        )

    by_threads = train("threads").fold(0)
    forks = request.getfixturevalue("forks")
    by_processes = train("processes").fold(0)
    assert len(forks) >= 2, "an epoch, and the held-out images"
    assert by_threads.weights.read_bytes() == by_processes.weights.read_bytes()
    assert by_threads.oof.read_bytes() == by_processes.oof.read_bytes()


def test_prediction_gives_the_same_table(
    trained: Run, beasts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With what is noted of each image: why it cannot be read, and how bright 16 bits are."""
    folder = tmp_path / "new"
    folder.mkdir()
    for number, file in enumerate(sorted(beasts.rglob("*.jpg"))):
        (folder / f"{number}.jpg").write_bytes(file.read_bytes())
    (folder / "2.jpg").write_bytes(b"no image")
    (folder / "7.jpg").write_bytes((folder / "7.jpg").read_bytes()[:400])
    deep = np.random.default_rng(0).integers(0, 4096, (48, 48), dtype=np.uint16)
    assert cv2.imwrite(str(folder / "9.tif"), deep)

    def predict(name: str) -> tuple[bytes, Any]:
        table = tmp_path / f"{name}.csv"
        done = bestiary.predict(trained.path, folder, out=table, quiet=True)
        return table.read_bytes(), done

    by_threads, _ = predict("threads")
    forks = request.getfixturevalue("forks")
    by_processes, _ = predict("processes")
    assert forks
    assert by_processes == by_threads
    assert by_threads.count(b"damaged") + by_threads.count(b"truncated") >= 1


def test_images_of_all_kinds_give_the_same_answers(
    trained: Run, beasts: Path, request: pytest.FixtureRequest
) -> None:
    files = sorted(beasts.rglob("*.jpg"))
    pixels = [cv2.imread(str(file)) for file in files]
    kinds: list[list[Any]] = [files, [str(file) for file in files], pixels]
    kinds.append([file.read_bytes() for file in files])
    ensemble = bestiary.load(trained.path)
    expected = [ensemble.predict_proba(images) for images in kinds]
    forks = request.getfixturevalue("forks")
    for images, by_threads in zip(kinds, expected, strict=True):
        np.testing.assert_array_equal(ensemble.predict_proba(images), by_threads)
    assert len(forks) == len(kinds)

    # A file's position is shared with a fork, so threads read it.
    opened = [file.open("rb") for file in files]
    np.testing.assert_array_equal(ensemble.predict_proba(opened), expected[0])
    for stream in opened:
        stream.close()
    assert len(forks) == len(kinds)
