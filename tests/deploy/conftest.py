"""Runs that are handed over: of a network that trains in a second, and of which every path of exporting is taken."""

from pathlib import Path

import pytest

from bestiary import api
from bestiary.run import Run

SMALL = ["model.backbone=timm/test_resnet", "model.weights=none", "train.precision=float32", "view.size=32"]


@pytest.fixture(scope="session")
def small(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of three folds that averages two views; not to be changed."""
    place = tmp_path_factory.mktemp("small") / "run"
    overrides = [*SMALL, "train.epochs=2", "train.batch_size=8", "predict.views=2", "optimiser.lr=1e-3"]
    overrides += ["model.head=random", "model.freeze=0", "model.freeze_norms=false"]
    return api.train(beasts, place, recipe="fast", overrides=overrides, folds=3, quiet=True)
