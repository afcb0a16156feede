"""What many tests need: a small drawn data set, a recipe that trains in a second, trained runs,
and a browser.
"""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.run.oof import write_oof
from bestiary.run.run import Run

TINY = """
[model]
backbone = "torchvision/shufflenet_v2_x0_5"
weights = "none"
[view]
size = 32
rotation = 10.0
[mix]
probability = 0.5
[train]
epochs = 2
batch_size = 8
"""
SMALL = [
    "model.backbone=timm/test_resnet",
    "model.weights=none",
    "train.precision=float32",
    "view.size=32",
]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave the user's store of decoded images alone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("BESTIARY_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port of this machine that no program listens at."""

    def find() -> int:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            return int(found.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def beasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three species, nine images each."""
    folder = tmp_path_factory.mktemp("data") / "beasts"
    draw_sample(folder, species=3, per_species=9, size=48)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file whose fold takes about a second."""
    file = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def trained(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of three folds; not to be changed."""
    return bestiary.train(
        beasts, tmp_path_factory.mktemp("runs") / "run", recipe=tiny, folds=3, quiet=True
    )


@pytest.fixture
def pretend_run() -> Callable[..., Run]:
    """Begin a run of two folds (data, place, fixes=None) and write out-of-fold logits for it, as if
    it were trained.

    Its members are sure of every label, but hold `stray.jpg` for the first class.
    """
    from bestiary.training.prepare import begin_run

    def pretend(data: Path, place: Path, fixes: Path | None = None) -> Run:
        run = Run(place)
        begin_run(data, run, load_recipe("fast", ["folds.n=2"]), None, Display(quiet=True), fixes)
        table = run.read_table("manifest.parquet").join(run.read_table("folds.parquet"), on="path")
        classes = sorted(table["label"].unique())
        for fold in run.fold_numbers():
            part = table.filter(fold=fold).select("path", "label")
            believed = [
                classes[0] if "stray" in path else label for path, label in part.iter_rows()
            ]
            logits = np.array(
                [[8.0 * (name == label) for name in classes] for label in believed], np.float32
            )
            write_oof(
                run.fold(fold),
                part.with_columns(pl.Series("logits", logits, pl.Array(pl.Float32, 3))),
                classes,
            )
            run.fold(fold).weights.touch()
        return run

    return pretend


@pytest.fixture
def strayed(beasts: Path, tmp_path: Path, pretend_run: Callable[..., Run]) -> Run:
    """A run, as if trained, of which one image (stray.jpg) of the first class lies in the second
    class's folder.
    """
    data = tmp_path / "data"
    shutil.copytree(beasts, data, ignore=shutil.ignore_patterns("truth.csv"))
    first, second = sorted(data.iterdir())[:2]
    sorted(first.iterdir())[4].rename(second / "stray.jpg")
    return pretend_run(data, tmp_path / "run")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright; skips where either is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with exit status 2 and one line; gives the line."""
    from bestiary.cli import main

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        lines = printed.err.splitlines()
        assert printed.out == ""
        assert lines and lines[-1].startswith("bestiary: "), lines
        assert not any("Traceback" in line for line in lines)
        return lines[-1]

    return run


@pytest.fixture
def check_theme() -> Callable[[Any], None]:
    """Asserts that an open page is light or dark as the system is, until its button #theme is
    pressed.
    """

    def check(page: Any) -> None:
        def paper() -> str:
            return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

        light = paper()
        page.emulate_media(color_scheme="dark")
        dark = paper()
        assert light != dark
        page.locator("#theme").click()
        assert paper() == light
        page.locator("#theme").click()
        page.emulate_media(color_scheme="light")
        assert paper() == dark

    return check


@pytest.fixture(scope="session")
def small(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of three folds that averages two views; not to be changed."""
    place = tmp_path_factory.mktemp("small") / "run"
    overrides = [
        *SMALL,
        "train.epochs=2",
        "train.batch_size=8",
        "predict.tta=2",
        "optimizer.lr=1e-3",
    ]
    overrides += ["model.head=random", "model.freeze=0", "model.freeze_norms=false"]
    return bestiary.train(beasts, place, recipe="fast", overrides=overrides, folds=3, quiet=True)
