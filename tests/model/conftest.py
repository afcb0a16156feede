"""Small networks. Weights are looked for in the test's own folder, and nothing is downloaded."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bestiary.model.classifier import Classifier, build_classifier


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where torchvision looks for weights; a download fails the test."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))

    def no_connection(url: str, *_: object, **__: object) -> None:
        raise AssertionError(f"{url} must not be fetched in a test")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_connection)
    return folder / "checkpoints"


class Malice:
    """Unpickling this writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.file),)


@pytest.fixture
def malice(tmp_path: Path) -> Malice:
    """An object whose unpickling makes the folder `.file`."""
    return Malice(tmp_path / "executed")


@pytest.fixture(scope="session")
def randomize() -> Callable[[nn.Module, int], nn.Module]:
    """Fill parameters and batch norm statistics at random: no two networks agree by chance."""

    def fill(network: nn.Module, seed: int) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    noise = torch.rand(value.shape, generator=generator)
                    value.copy_(
                        noise + 0.5
                        if "running_var" in name or value.ndim == 1
                        else (noise - 0.5) / 3
                    )
        return network

    return fill


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """A small dense network with random weights."""
    torch.manual_seed(3)
    return build_classifier("timm/test_resnet", 6, "none").eval()


@pytest.fixture(scope="module")
def views() -> torch.Tensor:
    """Random views, as many as fill no batch evenly."""
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3), dtype=np.uint8)
    )
