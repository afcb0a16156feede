"""What tests of the cluster share: a run trained without a cluster, to compare with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import bestiary
from bestiary.run.run import Run

# One thread a fold, so that folds train side by side on two cores, with the same results
# everywhere.
OPTIONS = [
    "model.backbone=timm/test_resnet",
    "train.threads=1",
    "train.precision=float32",
    "train.layout=contiguous",
]
LONG = [*OPTIONS, "train.epochs=25", "train.batch_size=2"]


@pytest.fixture(scope="session", autouse=True)
def _eager_workers() -> Iterator[None]:
    """Let Ray's workers have their part of the cores, beside the tests of another process.

    Ray gives them the lowest priorities, so that they would wait for minutes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="session")
def options() -> list[str]:
    """Options of a short training."""
    return OPTIONS


@pytest.fixture(scope="session")
def long_options() -> list[str]:
    """Options of a training that is long enough to be interrupted."""
    return LONG


@pytest.fixture(scope="session")
def local(beasts: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with `long_options` and three folds, trained by this process."""
    run = tmp_path_factory.mktemp("local") / "run"
    return bestiary.train(beasts, run, recipe=tiny, overrides=LONG, folds=3, quiet=True)
