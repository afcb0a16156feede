"""What is shipped: the wheel has every file, containers are sound, boards ask for real metrics."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import bestiary

ROOT = Path(__file__).parents[2]
PACKAGE = Path(bestiary.__file__).parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout and unpacked, as pip would install it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    command += [str(folder), "--no-build-isolation", str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.slow
def test_wheel_has_every_file(unpacked: Path) -> None:
    def names(folder: Path) -> set[str]:
        files = (file for file in folder.rglob("*") if file.is_file())
        return {str(file.relative_to(folder)) for file in files if "__pycache__" not in file.parts}

    assert names(unpacked / "bestiary") == names(PACKAGE)


PROGRAM = """
import bestiary
from bestiary.cli import main
print(bestiary.__file__, flush=True)
raise SystemExit(main({train}) or main({report}))
"""


@pytest.mark.slow
def test_wheel_works_without_the_checkout(unpacked: Path, tiny: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(
        "-m", "bestiary", "sample", "images", "--species", "3", "--per-species", "6", "--size", "48"
    )
    # Two verbs in one process: to import PyTorch takes longer than either.
    train = ["train", "images", "run", "--recipe", str(tiny), "--folds", "2", "--epochs", "1"]
    report = ["report", "run", "--no-saliency"]
    found, *_ = run("-c", PROGRAM.format(train=train, report=report)).splitlines()
    assert Path(found).is_relative_to(unpacked)
    assert "</html>" in (tmp_path / "run" / "report.html").read_text()


def test_dockerfile_is_sound() -> None:
    """By hadolint, which knows the rules of Docker and of shells."""
    program = shutil.which(
        "hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [program, str(ROOT / "docker" / "Dockerfile")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""


def test_containers_name_what_there_is() -> None:
    docker = ROOT / "docker"
    compose = (docker / "compose.yaml").read_text()
    for name in re.findall(r'"\./(\S+?):', compose):
        assert (docker / name).is_file(), name
    dockerfile = (docker / "Dockerfile").read_text()
    extras = re.search(r'EXTRAS="([^"]+)"', dockerfile)
    project = (ROOT / "pyproject.toml").read_text()
    assert extras is not None
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.M), extra
    for route in re.findall(r"8000(/\w+)'", compose):
        assert f'"{route}"' in (PACKAGE / "serving" / "application.py").read_text()


def test_board_asks_for_metrics_that_there_are() -> None:
    pytest.importorskip("prometheus_client", reason="extra `serve` is not installed")
    from bestiary.serving.metrics import Metrics

    board = json.loads((ROOT / "docker" / "grafana" / "bestiary.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"bestiary_\w+", target["expr"])
    }
    metrics = Metrics()
    metrics.watch_drift(SimpleNamespace(images=0, result=lambda: None))  # type: ignore[arg-type]
    metrics.seconds.labels("/").observe(1)
    given = metrics.text().decode()
    assert len(asked) == 7
    for name in asked:
        assert f"\n{name} " in given or f"\n{name}{{" in given or f" {name} counter" in given, name


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {bestiary.__version__}\n" in citation
    assert f'version = "{bestiary.__version__}"' in (ROOT / "pyproject.toml").read_text()
