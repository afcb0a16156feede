"""What many tests need: a small drawn data set, a recipe that trains in a second, and a trained run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary import api
from bestiary.data.beasts import draw_sample
from bestiary.run import Run

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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave the user's store of decoded pictures alone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("BESTIARY_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def beasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three species, nine pictures each."""
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
    return api.train(beasts, tmp_path_factory.mktemp("runs") / "run", recipe=tiny, folds=3, quiet=True)


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
