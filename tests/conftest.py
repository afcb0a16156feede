"""Fixtures of many tests: drawn images, a recipe that trains fast, finished runs, a browser."""

import gc
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

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
THREADS = torch.get_num_threads()
LONG = ("cluster", "slow", "browser")
"""Marks of tests that take long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take long first, so that at the end no process waits for another."""

    def takes_long(item: pytest.Item) -> bool:
        return any(item.get_closest_marker(name) for name in LONG)

    long_files = {item.path for item in items if takes_long(item)}
    items.sort(key=lambda item: item.path not in long_files)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the files that start Ray to one process, and each test of a GPU to any.

    Two clusters at once are too slow for both. A GPU is shared, and its minutes are few.
    """
    from xdist.scheduler import LoadFileScheduling

    class FileScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/cluster/"):
                return "tests/cluster"
            if nodeid.startswith("tests/scenarios/test_gpu.py"):
                return nodeid
            return str(super()._split_scope(nodeid))

    return FileScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of garbage collections.

    Each fold that is trained ends in one, which would walk through a million objects of modules and
    tests for half a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests away from the user's cache and state."""
    patch = pytest.MonkeyPatch()
    patch.setenv("BESTIARY_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("BESTIARY_STATE", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """Restore the number of PyTorch's threads, which a run sets: other bits depend on it."""
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Finds a port of this machine on which no program listens."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def beasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three species, nine images each."""
    folder = tmp_path_factory.mktemp("data") / "beasts"
    draw_sample(folder, species=3, per_species=9, size=48)
    return folder


@pytest.fixture(scope="session")
def uneven_beasts(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three species with nine, six and three images."""
    folder = tmp_path_factory.mktemp("uneven") / "beasts"
    species = sorted(path for path in beasts.iterdir() if path.is_dir())
    for label, count in zip(species, (9, 6, 3), strict=True):
        (folder / label.name).mkdir(parents=True)
        for file in sorted(label.iterdir())[:count]:
            shutil.copy(file, folder / label.name)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file whose fold takes about a second."""
    file = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def trained(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of three folds. Tests must not change it."""
    return bestiary.train(
        beasts, tmp_path_factory.mktemp("runs") / "run", recipe=tiny, folds=3, quiet=True
    )


@pytest.fixture
def pretend_run() -> Callable[..., Run]:
    """Begins a run of two folds and writes out-of-fold logits, as if it were trained.

    Its members predict every label with confidence, but `stray.jpg` as the first class.
    """
    from bestiary.training.prepare import begin_run

    def pretend(data: Path, path: Path, fixes: Path | None = None) -> Run:
        run = Run(path)
        begin_run(data, run, load_recipe("fast", ["folds.n=2"]), None, Display(quiet=True), fixes)
        snapshot = run.load()
        table = snapshot.manifest.join(snapshot.fold_table, on="path")
        classes = sorted(table["label"].unique())
        for fold in snapshot.folds:
            held_out = table.filter(fold=fold).select("path", "label")
            predicted = [
                classes[0] if "stray" in path else label for path, label in held_out.iter_rows()
            ]
            rows = [[8.0 * (name == label) for name in classes] for label in predicted]
            logits = pl.Series("logits", np.array(rows, np.float32), pl.Array(pl.Float32, 3))
            write_oof(run.fold(fold), held_out.with_columns(logits), classes)
            run.fold(fold).weights.touch()
        return run

    return pretend


@pytest.fixture
def strayed(beasts: Path, tmp_path: Path, pretend_run: Callable[..., Run]) -> Run:
    """A run, as if trained, with one image of the first class in the second's folder: stray.jpg."""
    data = tmp_path / "data"
    shutil.copytree(beasts, data, ignore=shutil.ignore_patterns("truth.csv"))
    first, second = sorted(data.iterdir())[:2]
    sorted(first.iterdir())[4].rename(second / "stray.jpg")
    return pretend_run(data, tmp_path / "run")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright. Skips where either is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def violations() -> Callable[[Any], list[str]]:
    """Lists the violations of WCAG 2.2 AA and good practice on a page, by axe."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )

    def run(page: Any) -> list[str]:
        return [
            f"{violation['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
            for violation in axe.Axe().run(page).response["violations"]
            for node in violation["nodes"]
        ]

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with exit status 2 and one line. Returns the line."""
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
    """Asserts that an open page follows the system's theme until its button #theme is pressed."""

    def check(page: Any) -> None:
        def background() -> str:
            return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

        light = background()
        page.emulate_media(color_scheme="dark")
        dark = background()
        assert light != dark
        page.locator("#theme").click()
        assert background() == light
        page.locator("#theme").click()
        page.emulate_media(color_scheme="light")
        assert background() == dark

    return check


@pytest.fixture(scope="session")
def small(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of three folds with two views. Tests must not change it."""
    path = tmp_path_factory.mktemp("small") / "run"
    overrides = [
        *SMALL,
        "train.epochs=2",
        "train.batch_size=8",
        "predict.tta=2",
        "optimizer.lr=1e-3",
        "model.head=random",
        "model.freeze=0",
        "model.freeze_norms=false",
    ]
    return bestiary.train(beasts, path, recipe="fast", overrides=overrides, folds=3, quiet=True)
