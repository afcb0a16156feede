"""Ensembles in memory: two random members that differ from image to image, for each engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bestiary.data.eval_view import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.model.classifier import build_classifier
from bestiary.recipe.choices import Engine

CLASSES = ["ant", "bee", "cat"]


@pytest.fixture(scope="session")
def in_memory() -> Callable[..., Ensemble]:
    """Builds an ensemble that no run has. With `shared`, its members differ in the last stage."""

    def build(engine: Engine = "torch", tta: int = 1, shared: bool = False) -> Ensemble:
        members = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            member = build_classifier("timm/test_resnet", len(CLASSES), "none").eval()
            if shared and members:
                for own, common in zip(member.stages()[:-1], members[0].stages()[:-1], strict=True):
                    for module, same in zip(own, common, strict=True):
                        module.load_state_dict(same.state_dict())
            with torch.no_grad():
                member.head_layer.weight.mul_(20)  # the answers differ from image to image
            members.append(member)
        view = EvalView(size=32, resize="crop", crop=1.0, interpolation="bilinear")
        return Ensemble(
            members, CLASSES, view, device="cpu", precision="float32", engine=engine, tta=tta
        )

    return build


@pytest.fixture(scope="session")
def plain(in_memory: Callable[..., Ensemble]) -> Ensemble:
    """An ensemble in memory that PyTorch computes."""
    return in_memory()


@pytest.fixture(scope="session")
def noise() -> Callable[[int], list[np.ndarray]]:
    """Makes different images of different sizes, all colors in all of them."""

    def make(count: int) -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        images = []
        for index in range(count):
            coarse = rng.integers(0, 256, (3 + index % 3, 4, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((40, 36 + index % 5))
            images.append(np.asarray(image))
        return images

    return make


@pytest.fixture(scope="session")
def files(
    noise: Callable[[int], list[np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Six PNG files of `noise`, with the same pixels."""
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for index, image in enumerate(noise(6)):
        path = folder / f"{index}.png"
        Image.fromarray(image).save(path)
        paths.append(path)
    return paths
