"""Foundation models by name -> a backbone: timm networks on the hub, and towers of open_clip.

Names are ``hf-hub:ORG/NAME`` (a repository with timm's config.json or open_clip's
open_clip_config.json) and ``open_clip:ARCHITECTURE/TAG``. A tower comes with an `Architecture`,
from which it is built again without the hub: a run that names a repository reads nothing there.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bestiary.errors import WeightsError
from bestiary.model import hub
from bestiary.model.architecture import (
    BUILD_ERRORS,
    Architecture,
    TowerNetwork,
    build_network,
    foreign_architecture,
    import_open_clip,
)
from bestiary.model.tensor_card import check_tensor_file
from bestiary.model.weights import read_state, short_reason
from bestiary.regular_files import MAX_WEIGHTS_BYTES, check_regular

PREFIXES = ("hf-hub:", "open_clip:")
TIMM_CONFIG = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
OPEN_CLIP_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
Floats3 = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Tower:
    """A network with a linear head over the features of a tower, and how its images are normalized.

    Attributes:
        network: float (n, 3, side, side) -> logits (n, classes).
        architecture: to build it again.
        mean: of each channel, of images scaled to 0...1.
        std: of each channel.
        interpolation: how its library resizes images.
        side: of the images that its weights were trained with, in pixels.
        origin: where the weights came from, in words.
    """

    network: nn.Module
    architecture: Architecture
    mean: Floats3
    std: Floats3
    interpolation: str
    side: int
    origin: str


def is_tower(name: str) -> bool:
    """Tell whether a backbone's name is one of this module's."""
    return name.startswith(PREFIXES)


def build_tower(name: str, classes: int, weights: str = "default") -> Tower:
    """Build a tower by name; its description, and with default weights these, may be fetched.

    Args:
        name: ``hf-hub:ORG/NAME`` or ``open_clip:ARCHITECTURE/TAG``.
        classes: number of outputs.
        weights: ``default`` or ``none``.

    Raises:
        WeightsError: the name is unknown, or a file is missing, cannot be fetched or does not fit.
    """
    if weights not in ("default", "none"):
        raise WeightsError(f"model.weights = {weights!r}: {name} takes default, none or a file")
    described = describe(name)
    if weights == "none":
        return described.build(classes)
    file_names = TIMM_FILES if described.architecture.library == "timm" else OPEN_CLIP_FILES
    hub.say_before_download(described.repository, file_names, described.license)
    file = hub.fetch(described.repository, file_names)
    tower = described.build(classes, file.name)
    try:
        _load(tower, file)
    except (*BUILD_ERRORS, OSError, WeightsError) as error:
        raise WeightsError(
            f"{file}: does not fit {name} ({short_reason(error)}); fetch it again"
        ) from None
    return tower


def weights_are_local(name: str) -> bool:
    """Return whether a tower's weights are on this machine.

    Raises:
        WeightsError: its description is not, and cannot be fetched.
    """
    described = describe(name)
    names = TIMM_FILES if described.architecture.library == "timm" else OPEN_CLIP_FILES
    return hub.cached_file(described.repository, names) is not None


@dataclass(frozen=True, slots=True)
class Described:
    """What a tower is, before its weights are looked for.

    Attributes:
        repository: of its weights on the hub.
        architecture: of the network.
        input_format: mean, std, interpolation and side.
        license: of the weights, as the library says; empty if it does not.
    """

    repository: str
    architecture: Architecture
    input_format: dict[str, Any]
    license: str

    def build(self, classes: int, file: str = "") -> Tower:
        """Build the tower with random weights; `file` is told as their origin."""
        network = build_network(self.architecture, classes)
        origin = f"hub {self.repository}, {file}" if file else "none"
        return Tower(network, self.architecture, **self.input_format, origin=origin)


def describe(name: str) -> Described:
    """Read what a tower is, from the hub's cache, the hub, or open_clip's own list.

    Raises:
        WeightsError: the name is unknown, or the description cannot be had or is none.
    """
    if name.startswith("open_clip:"):
        return _from_list(name.removeprefix("open_clip:"))
    repository = name.removeprefix("hf-hub:")
    if not _REPOSITORY.fullmatch(repository) or ".." in repository:
        raise WeightsError(
            f"model.backbone = {name!r}: must look like hf-hub:ORG/NAME, for example "
            "hf-hub:imageomics/bioclip-2"
        )
    content = hub.read_config(repository, (TIMM_CONFIG, OPEN_CLIP_CONFIG))
    if "architecture" not in content and "model_cfg" not in content:
        content = hub.read_config(repository, (OPEN_CLIP_CONFIG,))  # the other is of transformers
    if "architecture" in content:
        return _described_timm(repository, content)
    model = content.get("model_cfg")
    input_format = content.get("preprocess_cfg", {})
    if not isinstance(model, dict) or not isinstance(input_format, dict):
        raise foreign_architecture(f"{OPEN_CLIP_CONFIG} has no model_cfg")
    return _described_clip(repository, model, input_format, "")


def _described_timm(repository: str, content: dict[str, Any]) -> Described:
    """Understand timm's config.json."""
    config = content.get("pretrained_cfg", content)
    name = content.get("architecture")
    import timm

    if not isinstance(config, dict) or not isinstance(name, str) or not timm.is_model(name):
        raise WeightsError(
            f"hf-hub:{repository}: its {TIMM_CONFIG} is not of a network of timm; choose another"
        )
    arguments = content.get("model_args") or {}
    architecture = Architecture.of({"library": "timm", "name": name, "arguments": arguments})
    size = config.get("input_size")
    side = size[-1] if isinstance(size, list) and size else 224
    license = str(config.get("license") or "")
    return Described(repository, architecture, _input_format(config, side), license)


def _described_clip(
    repository: str, model: dict[str, Any], input_format: dict[str, Any], license: str
) -> Described:
    """Understand the configuration of a model of open_clip."""
    vision = model.get("vision_cfg")
    if not isinstance(vision, dict):
        raise foreign_architecture("it has no vision_cfg")
    arguments = {
        key: value
        for key, value in vision.items()
        if key not in ("timm_model_pretrained", "output_tokens")
    }
    architecture = Architecture.of(
        {
            "library": "open_clip",
            "arguments": arguments,
            "embedding": model.get("embed_dim", 0),
            "quick_gelu": model.get("quick_gelu", False),
        }
    )
    size = vision.get("image_size", 224)
    side = size[0] if isinstance(size, list) and size else size
    return Described(repository, architecture, _input_format(input_format, side), license)


def _from_list(name: str) -> Described:
    """Find ``ARCHITECTURE/TAG`` in open_clip's own list of pretrained towers."""
    open_clip = import_open_clip()
    architecture, _, tag = name.partition("/")
    model = open_clip.get_model_config(architecture)
    if model is None or architecture.startswith(PREFIXES):
        raise WeightsError(
            f"model.backbone = 'open_clip:{name}': open_clip has no such network; see "
            "open_clip.list_models()"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    config = open_clip.get_pretrained_cfg(architecture, tag) if tag in tags else {}
    repository = str(config.get("hf_hub", "")).strip("/")
    if not _REPOSITORY.fullmatch(repository):
        raise WeightsError(
            f"model.backbone = 'open_clip:{name}': choose open_clip:{architecture}/TAG with one of "
            f"{', '.join(tags) or 'no tags'} that is on the hub"
        )
    return _described_clip(repository, model, config, "")


def _input_format(config: dict[str, Any], side: object) -> dict[str, Any]:
    """Check mean, std, interpolation and size."""
    clip_mean, clip_std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    values = {"mean": config.get("mean") or clip_mean, "std": config.get("std") or clip_std}
    for key, value in values.items():
        is_triple = isinstance(value, list | tuple) and len(value) == 3
        if not is_triple or not all(isinstance(one, float | int) for one in value):
            raise foreign_architecture(f"its {key} is not three numbers")
        if not all(-10 < one < 10 and (key == "mean" or one > 0) for one in value):
            raise foreign_architecture(f"its {key} is out of range")
    if not isinstance(side, int) or not 16 <= side <= 2048:
        raise foreign_architecture("its image size is out of range")
    return {
        "mean": tuple(map(float, values["mean"])),
        "std": tuple(map(float, values["std"])),
        "interpolation": str(config.get("interpolation", "bicubic")),
        "side": side,
    }


def _load(tower: Tower, file: Path) -> None:
    """Load weights, without those of a text tower and of the head."""
    target = file.resolve()  # the hub's cache links to it
    check_regular(target, MAX_WEIGHTS_BYTES)
    if file.suffix == ".safetensors":
        check_tensor_file(target)
    state = read_state(file)
    network = tower.network
    if isinstance(network, TowerNetwork):
        visual = {
            key.removeprefix("visual."): value
            for key, value in state.items()
            if key.startswith("visual.")
        }
        network.tower.load_state_dict(visual)
        return
    # timm renames keys of other projects, and fits position embeddings to the size.
    import sys

    rename = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if rename is not None:
        state = rename(state, network)
    own = network.state_dict()
    head = network.get_classifier()  # type: ignore[operator]
    names = {name for name, module in network.named_modules() if module is head}
    for key in (f"{name}.{part}" for name in names for part in ("weight", "bias")):
        state[key] = own[key]
    network.load_state_dict(state)
